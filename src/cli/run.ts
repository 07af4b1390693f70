/** `remora run`: starts a program with probes in place before anything of it has run, and passes on how it ends. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { Command } from 'commander';
import type { ProcessEnd } from '../index.ts';
import { CliError } from './errors.ts';
import { Following } from './following.ts';
import { readFile } from './input.ts';
import { Output } from './output.ts';
import { addSessionOptions, openReport, type SessionOptions } from './session-options.ts';
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

export function runCommand(): Command {
  const command = new Command('run')
    .description('Start a program with probes in place before its first instruction; ends as it ends.')
    .argument('<FILE>', 'an eBPF object file, as clang -target bpf writes it')
    .argument('<COMMAND...>', 'behind --: the program and its arguments');
  return addSessionOptions(command).action(run);
}

async function run(
  file: string,
  words: readonly string[],
  options: SessionOptions,
  { parent }: Command,
): Promise<void> {
  const [command, ...args] = words;
  // `run -- CMD ARGS`: what follows is all of the command, and no object.
  const line = (parent as Command & { readonly rawArgs: readonly string[] }).rawArgs;
  if (line.includes('--') && words.length !== line.length - line.indexOf('--') - 1) {
    throw new CliError('CLI_BAD_USAGE', 'cannot run: there is no object, wanted remora run FILE.bpf.o -- CMD ARGS');
  }
  const { openObject, spawnProcess } = await import('../index.ts');
  // The program has the same stderr: a stream of ours would change how writing there works.
  const write = (line: string): void => {
    try {
      writeSync(2, `${line}\n`);
    } catch {
      // Nobody reads it.
    }
  };
  const object = openObject(readFile(file), { allow: options.allow ?? [] });
  // Before the program starts: that puts back what streams of ours change.
  const output = Output.to(options.o);
  const report = openReport(output, options, { write, outlook: `${command} begins` });

  let end: ProcessEnd;
  {
    using spawned = spawnProcess(command!, args);
    using attached = object;
    const { pid, target } = spawned;
    for (const signal of PASSED_ON) process.on(signal, () => spawned.signal(signal));
    for (const signal of LEFT_TO_IT) process.on(signal, () => {});
    const { links, pauseUs } = attached.attachAll(target, options.attach);
    using loads = attached.awaitLoads();
    report.attached(pid, links, pauseUs);
    const following = options.follow && new Following(attached, [{ target, links }], report, options.attach);
    const ended = new AbortController();
    const look = (): void => {
      if (spawned.end() !== undefined && !options.follow) ended.abort();
    };
    process.on('SIGCHLD', look);
    spawned.run();
    // An exec takes the probes away and no more: what they saw is told at the end.
    const lasts = (): boolean => spawned.end() === undefined;
    const about = { object: attached, attached: [{ target, links }], loads, report, output, following, lasts };
    await watch(about, ended.signal);
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
