/** The functions a file defines, from its symbol tables. */
import type { ElfFile } from './elf-file.ts';
import { type ElfSymbol, SymbolType } from './symbols.ts';

export interface ElfFunction {
  /** Without a version. */
  readonly name: string;
  /** Address before relocation; of an indirect function that of its resolver. */
  readonly value: bigint;
  /** In bytes, 0 if unknown. */
  readonly size: number;
  /** Chosen at run time (STT_GNU_IFUNC). */
  readonly isIndirect: boolean;
}

/**
 * True for the name of a part that the compiler or a later tool put apart, as rarely run: it is jumped into from the rest of its
 * function, in the middle of that one's work, and is no function.
 */
export function isFragment(name: string): boolean {
  return /\.(?:cold|__part)(?:\.\d+)*\]?$/.test(name);
}

/** Every name of every function, once each, in the order of the tables; names that cannot be read are left out. */
export function* functionsOf(elf: ElfFile): Generator<ElfFunction> {
  const seen = new Set<string>();
  for (const symbol of elf.symbols()) {
    const isIndirect = symbol.type === SymbolType.GNU_IFUNC;
    if (symbol.section === 0 || symbol.superseded || (symbol.type !== SymbolType.FUNC && !isIndirect)) continue;
    const name = nameOf(symbol);
    const key = `${symbol.value} ${name}`;
    if (name === undefined || seen.has(key)) continue;
    seen.add(key);
    yield { name, value: symbol.value, size: symbol.size, isIndirect };
  }
}

/** Full tables carry versions in names: 'memcpy@@GLIBC_2.14'. */
function nameOf(symbol: ElfSymbol): string | undefined {
  try {
    const { name } = symbol;
    const version = name.indexOf('@');
    return version > 0 ? name.slice(0, version) : name || undefined;
  } catch {
    return undefined;
  }
}
