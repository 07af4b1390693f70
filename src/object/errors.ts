/** Why an object file is refused although it is sound ELF and BTF. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error codes of this folder; the values are the lines the docs print. */
export const OBJECT_ERRORS = {
  OBJECT_NOT_BPF: 'the file is not a relocatable eBPF object',
  OBJECT_OVERLAP: 'the sections overlap or leave the file: together they are larger than it',
  OBJECT_NO_SYMBOLS: 'the symbol table was stripped: nothing says where programs and maps are',
  OBJECT_NO_BTF: 'map definitions are BTF, and the object has none: compile with -g',
  OBJECT_BAD_MAP: 'a map definition lacks a number, contradicts itself, or has a field that does not exist',
  OBJECT_BAD_FUNCTION:
    'a function overlaps another, leaves its section, holds what is no instruction, or has a name of 512 bytes or more',
  OBJECT_STATIC_PROGRAM: 'a program outside `.text` is static: the compiler may have changed how it is called',
  OBJECT_BAD_RELOCATION: 'a relocation is of a type, at a place or to a symbol that makes no sense there',
  OBJECT_BAD_CALL: 'a call does not lead to the beginning of a function',
  OBJECT_BAD_REFERENCE: 'a 64-bit load names a map or function by number, which only a running kernel could know',
  OBJECT_DATA_RELOCATION: 'a global variable is initialised with an address, which is known only after loading',
  OBJECT_EXTERN:
    'the object uses a variable or function of the kernel, or a setting whose value is not known or does not fit',
  OBJECT_BAD_CORE:
    'a CO-RE relocation is of an instruction that it does not fit, or has no answer among the types of the kernel',
  OBJECT_NO_PROGRAM: 'it is said whether to load a program that the object has not',
  OBJECT_DUPLICATE: 'two programs, or two maps, bear the same name',
  OBJECT_TOO_LARGE: 'a data section has more than 2^31 bytes, or the programs more than a million instructions',
} as const;

export type ObjectErrorCode = keyof typeof OBJECT_ERRORS;

export class ObjectError extends BpfError {
  override readonly name = 'ObjectError';
  override readonly code: ObjectErrorCode;

  constructor(code: ObjectErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
