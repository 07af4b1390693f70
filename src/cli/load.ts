/** `remora load`: attaches an object's programs to running processes, until something ends it, and tells what they saw. */
import { Command, Option } from 'commander';
import { Exit } from './exit-codes.ts';
import { Following } from './following.ts';
import { readFile } from './input.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import {
  addSessionOptions,
  autoloadOf,
  mapOptions,
  noteLeftOut,
  openReport,
  type SessionOptions,
} from './session-options.ts';
import { watch } from './watch.ts';

interface LoadOptions extends SessionOptions {
  readonly pid: readonly number[];
  readonly pin?: true;
  readonly duration?: number;
}

export function loadCommand(): Command {
  const command = new Command('load')
    .description(
      'Attach the programs of an object to running processes, which share its maps; at the end, print them and detach.',
    )
    .argument('<FILE>', 'an eBPF object file, as clang -target bpf writes it')
    .addOption(shared.pid().makeOptionMandatory())
    .addOption(shared.duration());
  return addSessionOptions(command)
    .addOption(
      // Nobody is there to write what maps hold when these programs end.
      new Option(
        '--pin',
        'programs run on when this command is killed or its terminal goes; `remora detach` takes them off',
      ).conflicts('pinMaps'),
    )
    .action(load);
}

async function load(file: string, options: LoadOptions): Promise<void> {
  const [{ openObject }, { Targets }] = await Promise.all([import('../index.ts'), import('./targets.ts')]);
  // Whatever fails, the object leaves the targets before they are closed.
  using targets = new Targets(options.pid);
  using object = openObject(readFile(file), {
    allow: options.allow ?? [],
    autoload: autoloadOf(options),
    whenWeDie: options.pin ? 'run on' : 'go quiet',
    ...mapOptions(options),
  });
  const output = Output.to(options.o);
  const write = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const report = openReport(output, options, { write });

  const ended = endOfSession(output);
  // A terminal that goes takes us along, and nothing else.
  if (options.pin) process.on('SIGHUP', () => process.exit(Exit.OK));
  // All or none: what is attached before one of them refuses goes with the object.
  const attached = targets.all.map((target) => ({ target, ...object.attachAll(target, options.attach) }));
  noteLeftOut(object, report);
  using loads = object.awaitLoads();
  if (options.duration !== undefined) setTimeout(() => ended.abort(), options.duration).unref();
  const following = options.follow && new Following(object, attached, report, options.attach);
  for (const { target, links, pauseUs } of attached) report.attached(target.pid, links, pauseUs);
  // One that ends does not end the others.
  const lasts = (): boolean => targets.all.some((target) => !target.isGone() && !object.isDetachedByOthers(target));
  await watch({ object, attached, loads, report, output, following, lasts }, ended.signal);
}

/**
 * Aborts when the session is to end by a signal, or because nobody reads the output. The signals stay caught from then
 * on, so that a second Ctrl-C cannot come between us and the detaching.
 */
export function endOfSession(output: Output): AbortController {
  const end = new AbortController();
  const abort = (): void => end.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, abort);
  output.gone.then(abort);
  return end;
}
