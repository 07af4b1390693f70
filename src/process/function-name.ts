/** Functions by what people call them: symbols, demangled names, and patterns of either. */
import { demangle } from '../elf/demangle/demangle.ts';
import type { ElfFunction } from '../elf/functions.ts';
import { globMatcher } from './glob.ts';

/** True if a name has what only demangled ones have. */
export function isDemangled(name: string): boolean {
  return /::|[(<&~ ]/.test(name);
}

/**
 * Tells which functions a pattern matches: by their symbol or, if the pattern has what only those have, by their demangled
 * name, with the types of the parameters or without.
 */
export function functionMatcher(pattern: string): (fn: Pick<ElfFunction, 'name'>) => boolean {
  const matches = globMatcher(pattern);
  if (!isDemangled(pattern)) return ({ name }) => matches(name);
  return ({ name }) => {
    const demangled = demangle(name);
    return demangled !== undefined && (matches(demangled.name) || matches(demangled.full));
  };
}

/** The same for a name that is no pattern: in C++ types `*` is a pointer. */
export function isCalled(fn: Pick<ElfFunction, 'name'>, name: string): boolean {
  const demangled = demangle(fn.name);
  return fn.name === name || demangled?.name === name || demangled?.full === name;
}
