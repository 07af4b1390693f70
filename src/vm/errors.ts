/** Why the interpreter stopped. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error code -> the line the docs print. */
export const VM_ERRORS = {
  VM_BAD_ACCESS: 'the program or a helper touched memory that is not its own',
  VM_BAD_MAP: 'a helper was given a number that is no map',
  VM_STEP_LIMIT: 'the program ran longer than it may',
  VM_STACK_OVERFLOW: 'more than 8 functions active at once',
  VM_UNKNOWN_HELPER: 'no helper has the number called',
  VM_UNSUPPORTED: 'the interpreter cannot run this instruction',
} as const;

export type VmErrorCode = keyof typeof VM_ERRORS;

/** A program that could not be run to its end. */
export class VmError extends BpfError {
  override readonly name = 'VmError';
  override readonly code: VmErrorCode;

  constructor(code: VmErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
