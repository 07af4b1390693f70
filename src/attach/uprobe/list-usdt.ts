/** The static probes that exist: every one a pattern matches, of a process or of a file. */
import { readElf } from '../../elf/elf-file.ts';
import { readStaticProbes, type StaticProbe } from '../../elf/stapsdt.ts';
import { globMatcher, isGlob } from '../../process/glob.ts';
import type { Module } from '../../process/module.ts';
import { didYouMean, suggest } from '../../process/suggest.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { AttachError } from '../errors.ts';

/** One place of a static probe; some have several. */
export interface ListedUsdt {
  /** Path of the file. */
  readonly binary: string;
  readonly provider: string;
  readonly name: string;
  /** Of the nop, in the process, or in a file before relocation. */
  readonly address: bigint;
  /** Where the arguments are, as the assembler saw them: `-4@%edi 8@-16(%rbp)`. */
  readonly args: string;
}

/** What a pattern asks for, each part of it a glob. */
export interface UsdtPattern {
  /** '*' where the pattern does not say. */
  readonly binary: string;
  /** Of `PROVIDER:NAME`, or of names alone. */
  readonly probe: string;
}

/** Reads `[BINARY:][PROVIDER:]NAME`. */
export function parseUsdtPattern(text: string): UsdtPattern {
  const parts = text.split(':');
  if (parts.length < 2) return { binary: '*', probe: text };
  const named = parts.length > 2 ? 2 : 1;
  return { binary: parts.slice(0, -named).join(':'), probe: parts.slice(-named).join(':') };
}

/** The static probes of a process. @throws {AttachError} ATTACH_NO_USDT @throws {ProcessError} PROCESS_MODULE_NOT_FOUND */
export function listUsdt({ binary, probe }: UsdtPattern, process: TargetProcess): readonly ListedUsdt[] {
  const isAny = isGlob(binary);
  const modules = isAny
    ? process.modules().filter(({ path, name }) => [path, name].some(globMatcher(binary)))
    : [process.findModule(binary)];
  return matching(probe, isAny ? `process ${process.pid}` : `'${modules[0]!.name}'`, modules.flatMap(probesOf));
}

/** The static probes of a file. @param probe as of a pattern @throws {ElfError} @throws {AttachError} ATTACH_NO_USDT */
export function listUsdtOf(path: string, file: Uint8Array, probe: string): readonly ListedUsdt[] {
  const probes = [...readStaticProbes(readElf(file))];
  return matching(probe, `'${path}'`, probes.map(listed(path, 0n)));
}

function matching(pattern: string, where: string, probes: readonly ListedUsdt[]): readonly ListedUsdt[] {
  const matches = globMatcher(pattern);
  const found = probes.filter((probe) => matches(pattern.includes(':') ? fullName(probe) : probe.name));
  if (found.length > 0) return found.sort((a, b) => compare(keyOf(a), keyOf(b)));
  const named = pattern.includes(':') ? probes.map(fullName) : probes.map(({ name }) => name);
  const fix = probes.length === 0 ? 'there are no static probes' : didYouMean(suggest(pattern, named));
  throw new AttachError(
    'ATTACH_NO_USDT',
    `cannot find static probes '${pattern}' in ${where}: none of ${probes.length} matches`,
    fix === undefined ? {} : { fix },
  );
}

/** One file that cannot be read does not hide the others. */
function probesOf(module: Module): ListedUsdt[] {
  try {
    return [...readStaticProbes(module.elf)].map(listed(module.path, module.bias));
  } catch {
    return [];
  }
}

const listed =
  (binary: string, bias: bigint) =>
  ({ provider, name, address, args }: StaticProbe): ListedUsdt => ({
    binary,
    provider,
    name,
    address: address + bias,
    args,
  });

const fullName = ({ provider, name }: ListedUsdt): string => `${provider}:${name}`;
const keyOf = (probe: ListedUsdt): string =>
  `${fullName(probe)} ${probe.binary} ${probe.address.toString(16).padStart(16, '0')}`;
const compare = (a: string, b: string): number => (a < b ? -1 : 1);
