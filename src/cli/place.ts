/** Probes as they are named on the command line: `uprobe:BINARY:FUNCTION`. */
import { CliError } from './errors.ts';

/** Kinds of probes that later versions list and explain. */
const LATER = /^(?:uretprobe|tracepoint|raw_tracepoint|tp|raw_tp|ksyscall|kretsyscall):/;

/** What stands behind `usdt:`; undefined for other probes. */
export function staticPlace(text: string): string | undefined {
  return /^usdt:(.*)$/s.exec(text)?.[1];
}

/** What stands behind `uprobe:`, which may be left out. @throws {CliError} CLI_NOT_YET */
export function uprobePlace(text: string): string {
  const later = LATER.exec(text)?.[0];
  if (later !== undefined) {
    throw new CliError(
      'CLI_NOT_YET',
      `cannot look for '${text}': this version knows only uprobe:BINARY:FUNCTION, usdt:BINARY:PROVIDER:NAME and syscall:NAME`,
    );
  }
  return text.replace(/^uprobe(?:\.multi)?:/, '');
}
