/** `remora list`: what could be probed. Reads files; a process is only looked at. */
import { Command } from 'commander';
import type { ListedUprobe } from '../index.ts';
import { CliError } from './errors.ts';
import { readFile } from './input.ts';
import { onlyPid, shared } from './options.ts';
import { Output } from './output.ts';
import { uprobePlace } from './place.ts';
import { listCalls, syscallPattern } from './syscall-probes.ts';
import { paletteFor, printable } from './text.ts';

interface ListOptions {
  readonly pid?: readonly number[];
  readonly json?: true;
  readonly o?: string;
  readonly verbose?: true;
  readonly color: boolean;
}

export function listCommand(): Command {
  return new Command('list')
    .description('List the probes that match a pattern, in a process or in a file.')
    .argument('<PATTERN>', "uprobe:BINARY:FUNCTION or syscall:NAME with * and ?, such as 'uprobe:libc:*alloc*'")
    .argument('[FILE]', 'a library or executable; without, BINARY says it')
    .addOption(shared.pid())
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .action(list);
}

async function list(pattern: string, file: string | undefined, options: ListOptions): Promise<void> {
  const call = syscallPattern(pattern);
  if (call !== undefined) return listSystemCalls(call, file, options);
  const probes = await find(uprobePlace(pattern), file, options);
  const output = Output.to(options.o);
  const palette = paletteFor(output, options);
  for (const { binary, symbol, demangled, address } of probes) {
    if (options.json) {
      const name = demangled === undefined ? {} : { demangled };
      output.line(
        JSON.stringify({
          type: 'probe',
          kind: 'uprobe',
          binary,
          symbol,
          ...name,
          address: `0x${address.toString(16)}`,
        }),
      );
    } else {
      const beside = options.verbose && demangled !== undefined ? `  ${palette.dim(printable(demangled))}` : '';
      output.line(printable(`uprobe:${binary}:${symbol}`) + beside);
    }
  }
  await output.flush();
}

async function listSystemCalls(
  pattern: string,
  file: string | undefined,
  { pid, json, o }: ListOptions,
): Promise<void> {
  if (file !== undefined) {
    throw new CliError('CLI_BAD_USAGE', "cannot list system calls of a file: they are the kernel's", {
      fix: 'leave it out, or name a process by -p PID',
    });
  }
  const output = Output.to(o);
  await listCalls(pattern, pid === undefined ? undefined : onlyPid(pid, 'list'), output, json);
  await output.flush();
}

async function find(place: string, file: string | undefined, { pid }: ListOptions): Promise<readonly ListedUprobe[]> {
  const { findInstalledLibrary, listUprobes, listUprobesOf, openProcess, parseUprobePattern } = await import(
    '../index.ts'
  );
  if (pid !== undefined) {
    if (file !== undefined)
      throw new CliError('CLI_BAD_USAGE', 'cannot list both a process and a file: give one of them');
    using target = openProcess(onlyPid(pid, 'list'));
    return listUprobes(place, target);
  }
  const { binary, symbol } = parseUprobePattern(place);
  if (file !== undefined) return listUprobesOf(file, readFile(file), symbol);
  if (binary.includes('*')) {
    throw new CliError('CLI_BAD_USAGE', `cannot list '${place}': it does not say where to look`, {
      fix: 'name a process by -p PID, or one file',
    });
  }
  const path = binary.includes('/') ? binary : findInstalledLibrary(binary);
  return listUprobesOf(path, readFile(path), symbol);
}
