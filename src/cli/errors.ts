/** What goes wrong at the command line itself; what the library throws is told by failure.ts. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error code -> the line the docs print. */
export const CLI_ERRORS = {
  CLI_BAD_USAGE: 'options or arguments that do not fit together',
  CLI_BAD_INPUT: 'what came on standard input is not what the command reads',
  CLI_BAD_FILE: 'a file named on the command line cannot be read or made',
  CLI_WRITE_FAILED: 'data could not be written where it should go',
  CLI_NO_PROGRAM: 'the object has no program of this name',
  CLI_NO_SESSION: 'no session, or no map of one, has this name',
  CLI_NO_PERMISSION: 'nothing but the processes one starts oneself may be attached to',
  CLI_NOT_YET: 'this version cannot do that yet',
  CLI_CRASHED: 'machine code crashed, or ran for too long, in the child process that ran it',
} as const;

export type CliErrorCode = keyof typeof CLI_ERRORS;

export class CliError extends BpfError {
  override readonly name = 'CliError';
  override readonly code: CliErrorCode;

  constructor(code: CliErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
