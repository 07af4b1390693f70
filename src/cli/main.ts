#!/usr/bin/env node
/** The command line: registers the commands, and turns what they throw into text and an exit code. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { detachCommand } from './detach.ts';
import { disasmCommand } from './disasm.ts';
import { doctorCommand } from './doctor.ts';
import { Exit, exitCodeOf } from './exit-codes.ts';
import { explainCommand } from './explain.ts';
import { describeFailure } from './failure.ts';
import { injectCommand } from './inject.ts';
import { listCommand } from './list.ts';
import { loadCommand } from './load.ts';
import { mapsCommand } from './maps.ts';
import { psCommand } from './ps.ts';
import { runCommand } from './run.ts';
import { paletteFor } from './text.ts';
import { verifyCommand } from './verify.ts';
import { vmCommand } from './vm.ts';

/** One a command, in the order of the help. What a command needs of the library it imports when it runs. */
const COMMANDS: readonly (() => Command)[] = [
  loadCommand,
  runCommand,
  injectCommand,
  psCommand,
  detachCommand,
  mapsCommand,
  listCommand,
  explainCommand,
  disasmCommand,
  verifyCommand,
  doctorCommand,
  vmCommand,
];

const EXAMPLES = `
Examples:
  remora doctor 4242                       may I attach to process 4242, and if not, why?
  remora load malloc-count.bpf.o -p 4242   attach, run until Ctrl-C, print the maps, detach
  remora load count-calls.bpf.o -p 4242 --attach on_call=uprobe:libc.so.6:open --duration 5s --json
  remora list 'uprobe:libc:*alloc*' -p 4242   what could be probed
  remora explain libc:malloc -p 4242       how it would be
  remora run malloc-count.bpf.o -o counts.txt -- ls -l   from the first instruction on
  remora inject -p 4242 openat:error=ENOENT:when=3+2   the 3rd, 5th, 7th, ... openat fails
  remora ps                                what is attached, from any shell; remora detach --all -p 4242
  remora maps dump counts -p 4242          what a map holds
  remora disasm malloc-count.bpf.o --native
  remora verify malloc-count.bpf.o -v      is it safe, and what is known at each instruction

Exit codes: 0 ok, 1 run time, 2 usage or syntax, 3 permission, 4 target or symbol not found,
5 site or feature unsupported, 6 rejected by the verifier.`;

function commandLine(): Command {
  const program = new Command('remora')
    .description('Attaches eBPF programs to running processes from userspace, at native speed.')
    .version(packageVersion(), '-V, --version')
    .addHelpText('after', EXAMPLES)
    .exitOverride();
  for (const make of COMMANDS) {
    const command = make().copyInheritedSettings(program);
    command.showHelpAfterError(`fix:   see remora ${command.name()} --help`);
    program.addCommand(command);
  }
  return program.showHelpAfterError('fix:   see remora --help');
}

async function run(args: readonly string[]): Promise<void> {
  try {
    await commandLine().parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has printed its message already. The help that stands in for a missing command is an error too.
      process.exitCode = error.exitCode === 0 ? Exit.OK : Exit.USAGE;
      return;
    }
    const palette = paletteFor(process.stderr, { color: !args.includes('--no-color') });
    process.stderr.write(`${describeFailure(error, palette)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

/** From package.json, which lies above the built files, however deep they are. */
function packageVersion(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}

// Nobody reads our notes any more (`2>&1 | head`): no reason to leave a target attached. `run` shares stderr with the program
// it starts, `inject` with what stands behind --, and making a stream of it would change that.
if (process.argv[2] !== 'run' && !process.argv.includes('--')) process.stderr.on('error', () => {});
await run(process.argv.slice(2));
