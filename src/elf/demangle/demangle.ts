/** Symbols as C++ and Rust programs wrote them. A symbol that is not understood stays as it is: nothing here throws. */
import { demangleItanium } from './itanium.ts';
import { demangleRustLegacy, demangleRustV0 } from './rust.ts';

/** A symbol in its own language. */
export interface Demangled {
  /** Without return type and parameters: `ns::Class<int>::method`. */
  readonly name: string;
  /** As c++filt prints it: `ns::Class<int>::method(char const*)`. */
  readonly full: string;
}

/** Longer ones are left alone: some grow without bound as they are expanded. */
const LONGEST = 4096;

/** Undefined for what is not mangled, or by rules that are not known here. */
export function demangle(symbol: string): Demangled | undefined {
  if (symbol.length > LONGEST || !(symbol.startsWith('_Z') || symbol.startsWith('_R'))) return undefined;
  // What compilers append to copies of a function: .cold, .part.0, .constprop.1, .llvm.123
  const { base = symbol, suffix = '' } = BASE.exec(symbol)?.groups ?? {};
  const rust = demangleRustLegacy(base) ?? demangleRustV0(base);
  if (rust !== undefined) return { name: rust, full: rust };
  const cxx = demangleItanium(base);
  if (cxx === undefined || suffix === '') return cxx;
  return { name: cxx.name, full: `${cxx.full}${cloneNotes(suffix)}` };
}

/** Dots begin a suffix, except in names of the legacy Rust form. */
const BASE = /^(?<base>_ZN.*17h[0-9a-f]{16}E|[^.]+)(?<suffix>(?:\.[\w.]+)?)$/s;

/** `.part.0.cold` becomes ` [clone .part.0] [clone .cold]`. */
function cloneNotes(suffix: string): string {
  return suffix.replace(/\.[a-zA-Z_]\w*(?:\.\d+)*|\.\d+(?:\.\d+)*/g, (clone) => ` [clone ${clone}]`);
}
