/** Processes that run already: attached to all or none, and watched until something ends it. */
import type { TargetProcess } from '../index.ts';
import { Following } from './following.ts';
import type { Output } from './output.ts';
import type { SessionOptions } from './session-options.ts';
import type { StartedWith } from './started-program.ts';
import { watch } from './watch.ts';

/** What is attached to the processes, and who is told. */
export interface RunningWith extends StartedWith {
  readonly output: Output;
}

/** Writes a line to stderr. */
export function writeLine(line: string): void {
  process.stderr.write(`${line}\n`);
}

/**
 * Returns when it is over and everything is told.
 *
 * @param open called when all processes are there
 * @throws {ProcessError} if one of them cannot be opened; what `open` and `attach` throw, with nothing attached; as `watch`
 */
export async function watchRunning(
  pids: readonly number[],
  { follow, attach: places, duration }: Pick<SessionOptions, 'follow' | 'attach'> & { readonly duration?: number },
  open: (targets: readonly TargetProcess[]) => RunningWith | Promise<RunningWith>,
): Promise<void> {
  const { Targets } = await import('./targets.ts');
  // Whatever fails, the object leaves the targets before they are closed.
  using targets = new Targets(pids);
  const { object: opened, output, report, attach } = await open(targets.all);
  using object = opened;
  const ended = endOfSession(output);
  // All or none: what is attached before one of them refuses goes with the object.
  const attached = targets.all.map((target) => ({ target, ...attach(target) }));
  using loads = object.awaitLoads();
  if (duration !== undefined) setTimeout(() => ended.abort(), duration).unref();
  const following = follow && new Following(object, attached, report, places);
  for (const { target, links, pauseUs } of attached) report.attached(target.pid, links, pauseUs);
  // One that ends does not end the others.
  const lasts = (): boolean => targets.all.some((target) => !target.isGone() && !object.isDetachedByOthers(target));
  await watch({ object, attached, loads, report, output, following, lasts }, ended.signal);
}

/**
 * Aborts when the session is to end by a signal, or because nobody reads the output. The signals stay caught from then
 * on, so that a second Ctrl-C cannot come between us and the detaching.
 */
function endOfSession(output: Output): AbortController {
  const end = new AbortController();
  const abort = (): void => end.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, abort);
  output.gone.then(abort);
  return end;
}
