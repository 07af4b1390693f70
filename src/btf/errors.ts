/** Why BTF is refused, or a value cannot be told by its type. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error codes of this folder; the values are the lines the docs print. */
export const BTF_ERRORS = {
  BTF_TRUNCATED: 'a header, record or type points past the end of its section',
  BTF_BAD_MAGIC: 'the section does not start with eb9f in little-endian order',
  BTF_BAD_HEADER: 'the version, header length or a section of the header is not what the format allows',
  BTF_BAD_STRING: 'a name lies outside the string section or is longer than 512 bytes',
  BTF_BAD_KIND: 'a type is of a kind that does not exist, or not of the kind its place asks for',
  BTF_BAD_ID: 'a type id is past the last type: the data is corrupt, or split from a base that is not here',
  BTF_BAD_TYPE: 'the numbers of a type contradict each other',
  BTF_TOO_DEEP: 'types nest more than 32 levels deep, or refer to themselves',
  BTF_TOO_LARGE: 'a value would have more than 2^31 bytes or more than a million parts',
  BTF_BAD_RELOCATION: 'a CO-RE relocation is of no known kind, or asks for what the type it names has not',
  BTF_AMBIGUOUS: 'several types of one name differ in what a CO-RE relocation asks',
  BTF_NO_SIZE: 'the type has no size: void, a function, or a forward declaration',
} as const;

export type BtfErrorCode = keyof typeof BTF_ERRORS;

export class BtfError extends BpfError {
  override readonly name = 'BtfError';
  override readonly code: BtfErrorCode;

  constructor(code: BtfErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
