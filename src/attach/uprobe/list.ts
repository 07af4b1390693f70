/** The entry probes that exist: every function a pattern matches, of a process or of a file. */
import { demangle } from '../../elf/demangle/demangle.ts';
import { readElf } from '../../elf/elf-file.ts';
import { type ElfFunction, functionsOf } from '../../elf/functions.ts';
import { functionMatcher } from '../../process/function-name.ts';
import { noneMatches } from '../../process/functions.ts';
import { globMatcher, isGlob } from '../../process/glob.ts';
import type { Module } from '../../process/module.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { parseUprobePattern } from './private-data.ts';

/** A place that can be probed, by one of its names. */
export interface ListedUprobe {
  /** Path of the file. */
  readonly binary: string;
  readonly symbol: string;
  /** What the name is in its own language; undefined if it says so itself. */
  readonly demangled: string | undefined;
  /** In the process, or in a file before relocation; of a function chosen at run time that of its resolver. */
  readonly address: bigint;
}

/** Where functions come from. */
interface Source {
  readonly path: string;
  readonly bias: bigint;
  readonly functions: readonly ElfFunction[];
}

/**
 * The functions of a process.
 *
 * @param pattern `[BINARY:]FUNCTION`, either with `*` and `?`; without BINARY all that is mapped is searched
 * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND, PROCESS_SYMBOL_NOT_FOUND
 */
export function listUprobes(pattern: string, process: TargetProcess): readonly ListedUprobe[] {
  const { binary, symbol } = parseUprobePattern(pattern);
  const modules = isGlob(binary)
    ? process.modules().filter(({ path, name }) => [path, name].some(globMatcher(binary)))
    : [process.findModule(binary)];
  return list(symbol, isGlob(binary) ? `process ${process.pid}` : `'${modules[0]!.name}'`, modules.flatMap(sourceOf));
}

/** The functions of a file. @param pattern of names @throws {ElfError} @throws {ProcessError} PROCESS_SYMBOL_NOT_FOUND */
export function listUprobesOf(path: string, file: Uint8Array, pattern: string): readonly ListedUprobe[] {
  return list(pattern, `'${path}'`, [{ path, bias: 0n, functions: [...functionsOf(readElf(file))] }]);
}

function list(pattern: string, where: string, sources: readonly Source[]): readonly ListedUprobe[] {
  const matches = functionMatcher(pattern);
  const found = sources.flatMap(({ path, bias, functions }) =>
    functions.filter(matches).map(({ name, value }) => ({
      binary: path,
      symbol: name,
      demangled: demangle(name)?.full,
      address: bias + value,
    })),
  );
  if (found.length > 0) return found.sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
  throw noneMatches(
    pattern,
    where,
    sources.flatMap(({ functions }) => functions),
  );
}

/** One file that cannot be read does not hide the others. */
function sourceOf(module: Module): Source[] {
  try {
    const { path, bias, functions } = module;
    return [{ path, bias, functions }];
  } catch {
    return [];
  }
}
