/** A program that a command starts: attached to before anything of it has run, watched to its end, which is then ours too. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Command } from 'commander';
import type { AttachReport, BpfObject, ProcessEnd, TargetProcess } from '../index.ts';
import { Following } from './following.ts';
import type { LoadReport } from './load-report.ts';
import type { Output } from './output.ts';
import type { SessionOptions } from './session-options.ts';
import { watch } from './watch.ts';

/** Sent to us alone as a rule, and meant for the program. A terminal sends SIGINT and its kin to both. */
const PASSED_ON = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
const LEFT_TO_IT = ['SIGINT', 'SIGQUIT'] as const;
/** That end a process without a core file: of us there should be none. */
const ENDS_QUIETLY: ReadonlySet<number> = new Set(
  (['SIGHUP', 'SIGINT', 'SIGKILL', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const).map(
    (name) => constants.signals[name],
  ),
);

/** What is attached to the program, and who is told. */
export interface StartedWith {
  readonly object: BpfObject;
  readonly report: LoadReport;
  attach(target: TargetProcess): AttachReport;
}

export interface Start {
  readonly words: readonly string[];
  /** Made before the program starts: that puts back what streams of ours change. */
  readonly output: Output;
  readonly options: Pick<SessionOptions, 'follow' | 'attach'>;
  /** Called when the program is there and has not begun. */
  open(target: TargetProcess): StartedWith;
}

/** What stands behind `--`; undefined if there is none. */
export function wordsBehindDashes({ parent }: Command): readonly string[] | undefined {
  const line = (parent as Command & { readonly rawArgs: readonly string[] }).rawArgs;
  const at = line.indexOf('--');
  return at < 0 ? undefined : line.slice(at + 1);
}

/** Writes a line to stderr, which the program has too: a stream of ours would change how writing there works. */
export function writeNote(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nobody reads it.
  }
}

/** Starts a program and returns when it has ended and everything is told; this process then ends as it did. */
export async function runProgram({ words, output, options, open }: Start): Promise<void> {
  const { spawnProcess } = await import('../index.ts');
  const [command, ...args] = words;
  let end: ProcessEnd;
  {
    using spawned = spawnProcess(command!, args);
    const { pid, target } = spawned;
    const { object: opened, report, attach } = open(target);
    using object = opened;
    for (const signal of PASSED_ON) process.on(signal, () => spawned.signal(signal));
    for (const signal of LEFT_TO_IT) process.on(signal, () => {});
    const { links, pauseUs } = attach(target);
    using loads = object.awaitLoads();
    report.attached(pid, links, pauseUs);
    const following = options.follow && new Following(object, [{ target, links }], report, options.attach);
    const ended = new AbortController();
    const look = (): void => {
      if (spawned.end() !== undefined && !options.follow) ended.abort();
    };
    process.on('SIGCHLD', look);
    spawned.run();
    // An exec takes the probes away and no more: what they saw is told at the end.
    const lasts = (): boolean => spawned.end() === undefined;
    await watch({ object, attached: [{ target, links }], loads, report, output, following, lasts }, ended.signal);
    process.off('SIGCHLD', look);
    end = spawned.end()!;
  }
  endLike(end);
}

/** Ends this process as the program did. */
function endLike({ code, signal }: ProcessEnd): void {
  for (const name of [...PASSED_ON, ...LEFT_TO_IT]) process.removeAllListeners(name);
  // Where the signal does not end us, the number that shells give such an end.
  process.exitCode = code ?? 128 + signal!;
  if (signal !== undefined && ENDS_QUIETLY.has(signal)) process.kill(process.pid, signal);
}
