import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Why something could not be attached. The keys are the error codes, the values the line the docs print. */
export const ATTACH_ERRORS = {
  ATTACH_BAD_TARGET: 'the text after the section prefix does not name a place this kind can attach to',
  ATTACH_NO_IMPL: 'no registered implementation serves this attach type or section',
  ATTACH_TYPE_TAKEN: 'another implementation already serves this attach type',
  ATTACH_BAD_SLOT: 'the slot holds no handler of the wanted kind',
  ATTACH_NO_SUCH_ENTRY: 'no live attachment has this id',
  ATTACH_SITE_TOO_SHORT: 'the function ends before the five bytes that a jump needs',
  ATTACH_SITE_BRANCH: 'the function branches into the bytes that the jump would replace',
  ATTACH_SITE_INSTRUCTION: 'an instruction at the site cannot be moved elsewhere',
  ATTACH_SITE_PATCHED: 'the code in memory is not the code in the file: another tool has patched it',
  ATTACH_SITE_UNREADABLE: 'the bytes at the site do not decode as instructions',
  ATTACH_SITE_OUTSIDE: 'the offset lies behind the end of the function',
  ATTACH_SITE_BOUNDARY: 'no instruction begins at the offset',
  ATTACH_SITE_SHARED: 'the code is mapped shared: who changes it changes the file',
  ATTACH_SITE_RELOCATED: 'the code of the library is relocated when it is loaded, after the probe would be attached',
  ATTACH_SITE_OVERLAP: 'the jump would lie over that of another probe',
  ATTACH_ENTRY_ONLY: 'programs of this kind need the entry of a function, not an instruction inside it',
  ATTACH_NOT_ALLOWED: 'programs of this kind change what the target does, and that was not allowed',
  ATTACH_RETURN_REFUSED: 'the return of this function cannot be probed safely',
  ATTACH_NO_USDT: 'the binary has no static probe of this name',
  ATTACH_NO_SYSCALL: 'there is no system call of this name',
  ATTACH_NO_SYSCALL_SITE: 'no code of the process makes this system call, as far as can be seen',
  ATTACH_USDT_ARGUMENT: 'an argument of a static probe is in no place that is known, or the program has no room for it',
  ATTACH_USDT_SEMAPHORE: 'the semaphore of a static probe cannot be raised',
} as const;

export type AttachErrorCode = keyof typeof ATTACH_ERRORS;

export class AttachError extends BpfError {
  override readonly name = 'AttachError';
  override readonly code: AttachErrorCode;

  constructor(code: AttachErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
