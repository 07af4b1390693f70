/** `remora load`: attaches an object's programs to running processes, until something ends it, and tells what they saw. */
import { Command, Option } from 'commander';
import { Exit } from './exit-codes.ts';
import { readFile } from './input.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { watchRunning, writeLine } from './running-processes.ts';
import {
  addSessionOptions,
  autoloadOf,
  mapOptions,
  noteDecisions,
  openReport,
  type SessionOptions,
} from './session-options.ts';

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
  const { openObject } = await import('../index.ts');
  await watchRunning(options.pid, options, () => {
    const object = openObject(readFile(file), {
      allow: options.allow ?? [],
      autoload: autoloadOf(options),
      whenWeDie: options.pin ? 'run on' : 'go quiet',
      ...mapOptions(options),
    });
    const output = Output.to(options.o);
    const report = openReport(output, options, { write: writeLine });
    noteDecisions(object, options, report);
    // A terminal that goes takes us along, and nothing else.
    if (options.pin) process.on('SIGHUP', () => process.exit(Exit.OK));
    return { object, output, report, attach: (target) => object.attachAll(target, options.attach) };
  });
}
