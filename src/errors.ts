/**
 * The one error family. Every failure a caller can act on is a BpfError with a stable `code`.
 * Wrong calls by a programmer (a bug in their TypeScript) stay TypeError / RangeError.
 */

/** What a BpfError may carry besides its message. */
export interface BpfErrorOptions extends ErrorOptions {
  /** Why it is so: the fact behind the message, for the `why:` line of the command line. */
  readonly why?: string;
  /** What the reader can do about it, for the `fix:` line. */
  readonly fix?: string;
}

/** Base of every error this package throws on purpose. */
export abstract class BpfError extends Error {
  abstract override readonly name: string;
  /** Stable, greppable, `FOLDER_REASON`; safe to switch on. The message is for people and may change. */
  abstract readonly code: string;
  readonly why: string | undefined;
  readonly fix: string | undefined;

  constructor(message: string, options: BpfErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.why = options.why;
    this.fix = options.fix;
  }
}
