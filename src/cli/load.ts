/** `remora load`: attaches an object's programs to a running process, until something ends it, and tells what they saw. */
import { Command, InvalidArgumentError } from 'commander';
import type { Permission } from '../index.ts';
import { Exit } from './exit-codes.ts';
import { readFile } from './input.ts';
import { JsonReport } from './json-report.ts';
import { onlyPid, shared } from './options.ts';
import { Output } from './output.ts';
import { paletteFor } from './text.ts';
import { TextReport } from './text-report.ts';
import { watch } from './watch.ts';

interface LoadOptions {
  readonly pid: readonly number[];
  readonly allow?: readonly Permission[];
  readonly pin?: true;
  readonly attach?: ReadonlyMap<string, string>;
  readonly duration?: number;
  readonly json?: true;
  readonly o?: string;
  readonly quiet?: true;
  readonly verbose?: true;
  readonly color: boolean;
}

export function loadCommand(): Command {
  return new Command('load')
    .description('Attach the programs of an object to a running process; at the end, print the maps and detach.')
    .argument('<FILE>', 'an eBPF object file, as clang -target bpf writes it')
    .addOption(shared.pid().makeOptionMandatory())
    .option(
      '--attach <PROGRAM=PLACE>',
      'attach PROGRAM to PLACE, such as uprobe:libc.so.6:malloc, instead of where its section says; repeatable',
      parseAttach,
    )
    .addOption(shared.duration())
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.quiet())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .addOption(shared.allow())
    .option('--pin', 'programs run on when this command is killed or its terminal goes; `remora detach` takes them off')
    .action(load);
}

async function load(file: string, options: LoadOptions): Promise<void> {
  const { openObject, openProcess } = await import('../index.ts');
  const pid = onlyPid(options.pid, 'load');
  const note = (line: string): void => {
    if (!options.quiet) process.stderr.write(`${line}\n`);
  };
  // Whatever fails, the object leaves the target before the target is closed.
  using target = openProcess(pid);
  using object = openObject(readFile(file), {
    allow: options.allow ?? [],
    whenWeDie: options.pin ? 'run on' : 'go quiet',
  });
  const output = Output.to(options.o);
  const report = options.json
    ? new JsonReport(output)
    : new TextReport({
        output,
        palette: paletteFor(output, options),
        note,
        detail: options.verbose ? 'full' : 'usual',
      });

  const ended = endOfSession(output);
  // A terminal that goes takes us along, and nothing else.
  if (options.pin) process.on('SIGHUP', () => process.exit(Exit.OK));
  const { links, pauseUs } = object.attachAll(target, options.attach);
  if (options.duration !== undefined) setTimeout(() => ended.abort(), options.duration).unref();
  report.attached(pid, links, pauseUs);
  const lasts = (): boolean => !target.isGone() && !object.isDetachedByOthers;
  await watch({ object, target, links, report, output, lasts }, ended.signal);
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

/** PROGRAM=PLACE. */
export function parseAttach(
  text: string,
  before: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const { program, place } = /^(?<program>[^=]+)=(?<place>.+)$/s.exec(text)?.groups ?? {};
  if (program === undefined || place === undefined) {
    throw new InvalidArgumentError('Wanted PROGRAM=uprobe:BINARY:FUNCTION.');
  }
  if (before.has(program)) throw new InvalidArgumentError(`${program} has a place already.`);
  return new Map([...before, [program, place]]);
}
