import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** What can go wrong between a loaded object and a live link. The values are the lines the docs print. */
export const RUNTIME_ERRORS = {
  RUNTIME_TABLE_FULL: 'the handler table has no free slot, or no room for a text',
  RUNTIME_BAD_TABLE: 'the memory does not hold a handler table of this version, or a record in it is damaged',
  RUNTIME_NO_MAP: 'the object has no map of this name',
  RUNTIME_NO_VARIABLE: 'the object has no global variable of this name, or several',
  RUNTIME_BAD_VARIABLE: 'a global variable is to have a value that its type cannot hold',
  RUNTIME_NO_PROGRAM: 'the object has no program of this name',
  RUNTIME_LEFT_OUT:
    'nothing of the object is attached by itself, or the program was not loaded: the kernel alone runs it, or nobody asked for it',
  RUNTIME_NO_SECTION_TARGET: "the program's section names no place, and none was given",
  RUNTIME_BAD_SLOT:
    'a map of programs is to hold what could not go on from there, or a map of maps what is of another shape',
  RUNTIME_NO_SPARE: 'more maps are made for a map of maps than there is room for',
  RUNTIME_MAP_IN_USE: 'a map is dropped that a program of a process may still have',
  RUNTIME_CLOSED: 'the object or session was closed',
  RUNTIME_BAD_MAP_PLACE: 'bytecode is said to load a map where it loads nothing',
  RUNTIME_PIN_IN_USE: 'the file of a pinned map is in use by another object',
  RUNTIME_PIN_MISMATCH: 'the file of a pinned map holds another kind of map, or no map',
  RUNTIME_PIN_REFUSED: 'a map asks to be pinned that cannot be, or the file cannot be made',
  RUNTIME_SECCOMP: 'the program calls a helper that makes system calls, and the target runs under a seccomp filter',
} as const;

export type RuntimeErrorCode = keyof typeof RUNTIME_ERRORS;

export class RuntimeError extends BpfError {
  override readonly name = 'RuntimeError';
  override readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
