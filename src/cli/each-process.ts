/** Commands that take several processes: what can be done is done, and what cannot be is told of each. */
import { BpfError } from '../errors.ts';
import { describeFailure } from './failure.ts';
import type { Output } from './output.ts';
import { paletteFor } from './text.ts';

/** Where data goes, and whether failures are coloured. */
export interface EachOptions {
  readonly output: Output;
  readonly color: boolean;
  /** Called when all were passed: tells what is told of them together. */
  readonly tell?: () => void;
}

/**
 * Calls `body` for each process, past those where it fails; then the data is out.
 *
 * @throws {BpfError} the last failure; others are printed
 */
export async function forEachProcess(
  pids: readonly number[],
  body: (pid: number) => void | Promise<void>,
  { output, color, tell }: EachOptions,
): Promise<void> {
  const problems: BpfError[] = [];
  for (const pid of new Set(pids)) {
    try {
      await body(pid);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      problems.push(error);
    }
  }
  tell?.();
  await output.flush();
  const last = problems.pop();
  const palette = paletteFor(process.stderr, { color });
  for (const problem of problems) process.stderr.write(`${describeFailure(problem, palette)}\n`);
  if (last !== undefined) throw last;
}
