/** The functions of a module by pattern: what a glob attaches to, and what listings show. */
import { type ElfFunction, isFragment } from '../elf/functions.ts';
import { ProcessError } from './errors.ts';
import { functionMatcher } from './function-name.ts';
import type { Module } from './module.ts';
import type { ResolvedFunction } from './resolve-function.ts';
import { didYouMean, suggest } from './suggest.ts';

/**
 * Every function that a pattern matches, once each, in ascending order of address. Those chosen at run time are left out, as
 * in libbpf: their symbols name resolvers. So are parts put apart (`name.cold`), unless the pattern ends as they do.
 *
 * @throws {ProcessError} PROCESS_SYMBOL_NOT_FOUND if there is none, PROCESS_MODULE_UNREADABLE
 * @throws {ElfError} if the module's file is malformed
 */
export function functionsMatching(module: Module, pattern: string): readonly ResolvedFunction[] {
  const matches = functionMatcher(pattern);
  const wantsFragments = isFragment(pattern.replace(/\*$/, ''));
  const found = new Map<bigint, ResolvedFunction>();
  const { bias, functions } = module;
  for (const fn of functions) {
    if (fn.isIndirect || !matches(fn) || (isFragment(fn.name) && !wantsFragments)) continue;
    const address = bias + fn.value;
    if (found.has(address) || !module.holdsCode(address)) continue;
    found.set(address, { module, name: fn.name, address, size: fn.size });
  }
  if (found.size === 0) throw noneMatches(pattern, `'${module.name}'`, functions);
  return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** @param where what was searched, as a message names it */
export function noneMatches(pattern: string, where: string, functions: readonly ElfFunction[]): ProcessError {
  const fix = didYouMean(
    suggest(
      pattern.replace(/[*?]/g, ''),
      functions.map(({ name }) => name),
    ),
  );
  return new ProcessError(
    'PROCESS_SYMBOL_NOT_FOUND',
    `cannot find functions '${pattern}' in ${where}: none of ${functions.length} names matches`,
    fix === undefined ? {} : { fix },
  );
}
