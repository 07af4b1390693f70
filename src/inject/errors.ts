/** Why memory could not be laid into a target, or its code not be changed. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error codes of this folder; the values are the lines the docs print. */
export const INJECT_ERRORS = {
  INJECT_NO_GAP: 'no free address range within reach of the code',
  INJECT_BAD_ANSWER: 'the target answered a system call of ours with something that is not so',
  INJECT_SITE_CHANGED: 'the code to be changed is not what it was when the change was prepared',
  INJECT_SITE_UNLOADED: 'the library that was to be changed has been unloaded',
  INJECT_SITE_BUSY: 'a thread is inside the bytes to be changed, where there is no other place for it',
  INJECT_WRITE_FAILED: 'changed code did not read back as written; everything was undone',
  INJECT_JOURNAL_FULL: 'a session has no room to note what more it puts into the target',
  INJECT_UNKNOWN_JOURNAL: 'what is found in the process is no session that this version understands',
  INJECT_CLOSED: 'another remora has taken the session off',
  INJECT_CODE_TOO_LARGE: 'the code does not fit the memory that holds code',
} as const;

export type InjectErrorCode = keyof typeof INJECT_ERRORS;

export class InjectError extends BpfError {
  override readonly name = 'InjectError';
  override readonly code: InjectErrorCode;

  constructor(code: InjectErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
