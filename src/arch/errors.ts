import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Why no machine code was made. The keys are the error codes, the values the line the docs print. */
export const ARCH_ERRORS = {
  ARCH_RECURSION: 'compiled functions may not call themselves, directly or through others',
  ARCH_UNSUPPORTED: 'this value has no machine code here',
} as const;

export type ArchErrorCode = keyof typeof ARCH_ERRORS;

export class ArchError extends BpfError {
  override readonly name = 'ArchError';
  override readonly code: ArchErrorCode;

  constructor(code: ArchErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
