/** `remora run`: starts a program with probes in place before anything of it has run, and passes on how it ends. */
import { accessSync, constants, statSync, writeSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import type { ExitStatus, LaunchedProcess, Permission } from '../index.ts';
import { CliError } from './errors.ts';
import { readFile } from './input.ts';
import { JsonReport } from './json-report.ts';
import { parseAttach } from './load.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { paletteFor } from './text.ts';
import { TextReport } from './text-report.ts';
import { watch } from './watch.ts';

interface RunOptions {
  readonly allow?: readonly Permission[];
  readonly attach?: ReadonlyMap<string, string>;
  readonly json?: true;
  readonly o?: string;
  readonly quiet?: true;
  readonly verbose?: true;
  readonly color: boolean;
}

/** How often it is looked whether the program has ended, in milliseconds. */
const LOOK_MS = 5;
/** Sent to us alone as a rule, and meant for the program. A terminal sends SIGINT and its kin to both. */
const PASSED_ON = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
const LEFT_TO_IT = ['SIGINT', 'SIGQUIT'] as const;

export function runCommand(): Command {
  return new Command('run')
    .description('Start a program with probes in place before its first instruction; ends as it ends.')
    .argument('<FILE>', 'an eBPF object file, as clang -target bpf writes it')
    .argument('<COMMAND...>', 'behind --: the program and its arguments')
    .option(
      '--attach <PROGRAM=PLACE>',
      'attach PROGRAM to PLACE, such as uprobe:libc.so.6:malloc, instead of where its section says; repeatable',
      parseAttach,
    )
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.quiet())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .addOption(shared.allow())
    .action(run);
}

async function run(file: string, command: readonly string[], options: RunOptions): Promise<void> {
  const { LaunchedProcess, openObject, openProcess } = await import('../index.ts');
  // The program has the same stderr: a stream of ours would change how writing there works.
  const note = (line: string): void => {
    if (options.quiet) return;
    try {
      writeSync(2, `${line}\n`);
    } catch {
      // Nobody reads it.
    }
  };
  const object = openObject(readFile(file), { allow: options.allow ?? [] });
  const path = findProgram(command[0]!);
  // Written at the end, when the program is done with standard output.
  const output = options.o === undefined ? undefined : Output.to(options.o);
  let status: ExitStatus;
  {
    using launched = LaunchedProcess.start(path, command, process.env);
    using target = openProcess(launched.pid);
    using attached = object;
    const { links, pauseUs } = attached.attachAll(target, options.attach);
    const ended = new AbortController();
    for (const signal of PASSED_ON) process.on(signal, () => pass(launched, signal));
    for (const signal of LEFT_TO_IT) process.on(signal, () => {});
    launched.run();
    const exit = awaitExit(launched).finally(() => ended.abort());
    // Standard output is the program's until it has ended.
    if (output === undefined) await exit;
    const to = output ?? Output.to(undefined);
    const palette = paletteFor(to, options);
    const report = options.json
      ? new JsonReport(to)
      : new TextReport({ output: to, palette, note, detail: options.verbose ? 'full' : 'usual' });
    report.attached(launched.pid, links, pauseUs);
    await watch({ object: attached, target, links, report, output: to }, ended.signal);
    status = await exit;
  }
  endLike(status);
}

async function awaitExit(launched: LaunchedProcess): Promise<ExitStatus> {
  for (;;) {
    const status = launched.takeExit();
    if (status !== undefined) return status;
    await sleep(LOOK_MS);
  }
}

function pass({ pid }: LaunchedProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended.
  }
}

/** Ends this process as the program did. */
function endLike(status: ExitStatus): void {
  for (const signal of [...PASSED_ON, ...LEFT_TO_IT]) process.removeAllListeners(signal);
  if ('code' in status) {
    process.exitCode = status.code;
    return;
  }
  // Where the signal does not end us, the number that shells give such an end.
  process.exitCode = 128 + status.signal;
  if (status.signal !== os.signals.SIGPIPE) process.kill(process.pid, status.signal);
}

/** As execvp(3) looks for it. @throws {CliError} CLI_NO_COMMAND */
function findProgram(name: string): string {
  const candidates = name.includes('/')
    ? [name]
    : (process.env.PATH ?? '/bin:/usr/bin').split(':').map((dir) => join(dir, name));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // The next one.
    }
  }
  throw new CliError('CLI_NO_COMMAND', `cannot start ${name}: there is no such program`);
}
