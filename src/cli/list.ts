/** `remora list`: what could be probed. Reads files; processes are only looked at. */
import { Command } from 'commander';
import type { ListedUprobe, ListedUsdt, TargetProcess } from '../index.ts';
import { forEachProcess } from './each-process.ts';
import { CliError } from './errors.ts';
import { readFile } from './input.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { staticPlace, uprobePlace } from './place.ts';
import { listCalls, syscallPattern } from './syscall-probes.ts';
import { type Palette, paletteFor, printable } from './text.ts';

interface ListOptions {
  readonly pid?: readonly number[];
  readonly json?: true;
  readonly o?: string;
  readonly verbose?: true;
  readonly color: boolean;
}

export function listCommand(): Command {
  return new Command('list')
    .description('List the probes that match a pattern, in processes or in a file.')
    .argument(
      '<PATTERN>',
      "uprobe:BINARY:FUNCTION, usdt:BINARY:PROVIDER:NAME or syscall:NAME with * and ?, such as 'uprobe:libc:*alloc*'",
    )
    .argument('[FILE]', 'a library or executable; without, BINARY says it')
    .addOption(shared.pid())
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .action(list);
}

/** One probe, as text and as data. */
interface Line {
  readonly text: string;
  readonly data: object;
}

/** Where probes are looked for: one process, one file, or a library as it is installed. */
interface Source {
  readonly target?: TargetProcess;
  readonly file?: string | undefined;
  readonly palette: Palette;
  readonly verbose: boolean;
}

async function list(pattern: string, file: string | undefined, options: ListOptions): Promise<void> {
  const find = finderOf(pattern);
  if (file !== undefined && options.pid !== undefined) {
    throw new CliError('CLI_BAD_USAGE', 'cannot list both a process and a file: give one of them');
  }
  const output = Output.to(options.o);
  const source = { palette: paletteFor(output, options), verbose: options.verbose === true };
  const write = (lines: readonly Line[], pid?: number): void => {
    const isOneOfSeveral = pid !== undefined && new Set(options.pid).size > 1;
    for (const { text, data } of lines) {
      if (!options.json) output.line(isOneOfSeveral ? `${pid}  ${text}` : text);
      else output.line(JSON.stringify(pid === undefined ? data : { ...data, pid }));
    }
  };
  if (options.pid === undefined) {
    write(await find({ ...source, file }));
    await output.flush();
    return;
  }
  const { openProcess } = await import('../index.ts');
  const look = async (pid: number): Promise<void> => {
    using target = openProcess(pid);
    write(await find({ ...source, target }), pid);
  };
  await forEachProcess(options.pid, look, { ...options, output });
}

type Finder = (source: Source) => Promise<readonly Line[]>;

/** Finds the probes of the kind that a pattern names. */
function finderOf(pattern: string): Finder {
  const call = syscallPattern(pattern);
  if (call !== undefined) return (source) => systemCalls(call, source);
  const place = staticPlace(pattern);
  if (place !== undefined) return (source) => staticProbes(place, source);
  const functions = uprobePlace(pattern);
  return (source) => uprobes(functions, source);
}

async function systemCalls(pattern: string, { target, file }: Source): Promise<readonly Line[]> {
  if (file === undefined) return await listCalls(pattern, target);
  throw new CliError('CLI_BAD_USAGE', "cannot list system calls of a file: they are the kernel's", {
    fix: 'leave it out, or name a process by -p PID',
  });
}

async function staticProbes(place: string, { target, file, verbose, palette }: Source): Promise<readonly Line[]> {
  const { listUsdt, listUsdtOf, parseUsdtPattern } = await import('../index.ts');
  const wanted = parseUsdtPattern(place);
  const found = target === undefined ? ofFile(place, wanted, file, listUsdtOf) : listUsdt(wanted, target);
  return (await found).map((probe) => staticLine(probe, verbose ? palette : undefined));
}

function staticLine({ binary, provider, name, address, args }: ListedUsdt, palette: Palette | undefined): Line {
  const beside = palette === undefined ? '' : `  ${palette.dim(printable(`${hex(address)} ${args}`.trimEnd()))}`;
  return {
    text: printable(`usdt:${binary}:${provider}:${name}`) + beside,
    data: { type: 'probe', kind: 'usdt', binary, provider, name, address: hex(address), arguments: args },
  };
}

async function uprobes(place: string, { target, file, verbose, palette }: Source): Promise<readonly Line[]> {
  const { listUprobes, listUprobesOf, parseUprobePattern } = await import('../index.ts');
  const { binary, symbol } = parseUprobePattern(place);
  const wanted = { binary, probe: symbol };
  const found = target === undefined ? ofFile(place, wanted, file, listUprobesOf) : listUprobes(place, target);
  return (await found).map((probe) => uprobeLine(probe, verbose ? palette : undefined));
}

function uprobeLine({ binary, symbol, demangled, address }: ListedUprobe, palette: Palette | undefined): Line {
  const name = demangled === undefined ? {} : { demangled };
  const beside = palette !== undefined && demangled !== undefined ? `  ${palette.dim(printable(demangled))}` : '';
  return {
    text: printable(`uprobe:${binary}:${symbol}`) + beside,
    data: { type: 'probe', kind: 'uprobe', binary, symbol, ...name, address: hex(address) },
  };
}

/** Reads the file that is named, or the installed one that a pattern names. */
async function ofFile<T>(
  place: string,
  { binary, probe }: { readonly binary: string; readonly probe: string },
  file: string | undefined,
  listOf: (path: string, bytes: Uint8Array, probe: string) => readonly T[],
): Promise<readonly T[]> {
  if (file !== undefined) return listOf(file, readFile(file), probe);
  if (binary.includes('*')) {
    throw new CliError('CLI_BAD_USAGE', `cannot list '${place}': it does not say where to look`, {
      fix: 'name a process by -p PID, or one file',
    });
  }
  const { findInstalledLibrary } = await import('../index.ts');
  const path = binary.includes('/') ? binary : findInstalledLibrary(binary);
  return listOf(path, readFile(path), probe);
}

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
