/** What a failed command says. */
import { BpfError } from '../errors.ts';
import { causes } from './exit-codes.ts';
import { type Palette, printable } from './text.ts';

/**
 * What happened, why, and what to do about it, a line each. A bug of ours shows where it happened; a refusal never does.
 */
export function describeFailure(error: unknown, palette: Palette): string {
  const known = causes(error).filter((link) => link instanceof BpfError);
  const [outermost, ...inner] = known;
  if (outermost === undefined) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `${palette.red('error:')} ${what}\nfix:   this is a bug in remora: please report it`;
  }
  // What an outer error has not said, its causes say: their messages are reasons.
  const reasons = [outermost.why, ...inner.flatMap(({ message, why }) => [message, why])];
  const lines = [
    [palette.red('error:'), outermost.message],
    ...reasons.map((why) => [palette.bold('why:  '), why]),
    [palette.bold('fix:  '), known.find(({ fix }) => fix !== undefined)?.fix],
  ];
  return lines
    .filter(([, text]) => text !== undefined)
    .map(([label, text]) => `${label} ${text!.split('\n').map(printable).join('\n       ')}`)
    .join('\n');
}
