/** `remora run`: starts a program with probes in place before anything of it has run, and passes on how it ends. */
import { Command } from 'commander';
import { CliError } from './errors.ts';
import { readFile } from './input.ts';
import { Output } from './output.ts';
import {
  addSessionOptions,
  autoloadOf,
  mapOptions,
  noteDecisions,
  openReport,
  type SessionOptions,
} from './session-options.ts';
import { runProgram, wordsBehindDashes, writeNote } from './started-program.ts';

export function runCommand(): Command {
  const command = new Command('run')
    .description('Start a program with probes in place before its first instruction; ends as it ends.')
    .argument('<FILE>', 'an eBPF object file, as clang -target bpf writes it')
    .argument('<COMMAND...>', 'behind --: the program and its arguments');
  return addSessionOptions(command).action(run);
}

async function run(file: string, words: readonly string[], options: SessionOptions, self: Command): Promise<void> {
  // `run -- CMD ARGS`: what follows is all of the command, and no object.
  const behind = wordsBehindDashes(self);
  if (behind !== undefined && words.length !== behind.length) {
    throw new CliError('CLI_BAD_USAGE', 'cannot run: there is no object, wanted remora run FILE.bpf.o -- CMD ARGS');
  }
  const { openObject } = await import('../index.ts');
  const object = openObject(readFile(file), {
    allow: options.allow ?? [],
    autoload: autoloadOf(options),
    ...mapOptions(options),
  });
  const output = Output.to(options.o);
  const report = openReport(output, options, { write: writeNote, outlook: `${words[0]} begins` });
  noteDecisions(object, options, report);
  const attach = (target: Parameters<typeof object.attachAll>[0]) => object.attachAll(target, options.attach);
  await runProgram({ words, output, options, open: () => ({ object, report, attach }) });
}
