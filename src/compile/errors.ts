/** The errors of this folder. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Why a program could not be compiled. The keys are the error codes, the values the line the docs print. */
export const COMPILE_ERRORS = {
  COMPILE_BAD_HELPER_CALL: 'a helper cannot be compiled with these arguments',
  COMPILE_CONTEXT_TOO_SMALL: 'the program reads more of its context than there is where it is attached',
  COMPILE_CONTEXT_WRITE: 'the program writes to a part of its context that cannot be changed',
  COMPILE_DYNAMIC_CALL: 'callx needs a helper number that is known when the program is compiled',
  COMPILE_FORBIDDEN_HELPER: 'the target does not allow what a helper needs',
  COMPILE_NOT_ALLOWED: 'the program changes what the target does, and that was not allowed',
  COMPILE_UNKNOWN_HELPER: 'no helper has this number',
  COMPILE_UNKNOWN_MAP: 'the program refers to a map that was not laid out',
} as const;

export type CompileErrorCode = keyof typeof COMPILE_ERRORS;

export class CompileError extends BpfError {
  override readonly name = 'CompileError';
  override readonly code: CompileErrorCode;

  constructor(code: CompileErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
