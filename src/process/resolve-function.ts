/** Where in a process a function begins. */

import { viewOf } from '../bytes/struct.ts';
import { demangle } from '../elf/demangle/demangle.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { isFragment } from '../elf/functions.ts';
import { type Relocation, X64Relocation } from '../elf/relocations.ts';
import { SectionFlag, SectionType } from '../elf/sections.ts';
import { type ElfSymbol, SymbolType } from '../elf/symbols.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { ProcessError } from './errors.ts';
import { isCalled, isDemangled } from './function-name.ts';
import { findLinkageStub } from './linkage-stubs.ts';
import type { Module } from './module.ts';
import { didYouMean, suggest } from './suggest.ts';

/** `malloc@plt`: the stub by which a module calls malloc. */
const STUB_SUFFIX = '@plt';

/** A function of a module, in the memory of the process. */
export interface ResolvedFunction {
  readonly module: Module;
  /** As it was asked for; aliases of it have the same address. */
  readonly name: string;
  readonly address: bigint;
  /** In bytes; 0 if the symbol does not say. */
  readonly size: number;
}

/**
 * Finds a function by its symbol, in the full table or else among the dynamic ones.
 *
 * @param modules all modules of the process: what a resolver chose is read from their relocated slots
 * @throws {ProcessError} PROCESS_SYMBOL_NOT_FOUND, PROCESS_SYMBOL_AMBIGUOUS, PROCESS_IFUNC_UNRESOLVED, PROCESS_MODULE_UNREADABLE
 * @throws {ElfError} if the module's file is malformed
 */
export function resolveFunction(
  module: Module,
  name: string,
  modules: readonly Module[],
  memory: ProcessMemory,
): ResolvedFunction {
  if (name.endsWith(STUB_SUFFIX)) return resolveStub(module, name);
  const symbol = module.elf.findSymbol(name) ?? findDemangled(module, name);
  if (symbol === undefined) throw notFound(module, name, 'it defines no such symbol');
  if (symbol.type === SymbolType.GNU_IFUNC) return resolveIndirect(module, symbol, name, modules, memory);
  const address = module.bias + symbol.value;
  const isCode = symbol.type === SymbolType.FUNC || symbol.type === SymbolType.NOTYPE;
  if (!isCode) throw notFound(module, name, 'the symbol is not code');
  if (!module.holdsCode(address)) throw notFound(module, name, 'where it was is no code of the file any more');
  return { module, name, address, size: symbol.size };
}

/** By the name in its own language, with or without parameters: those of constructors have several symbols. */
function findDemangled(module: Module, name: string): ElfSymbol | undefined {
  if (!isDemangled(name)) return undefined;
  const found = new Map<bigint, string>();
  for (const fn of module.functions) {
    if (found.has(fn.value) || !isCalled(fn, name) || isFragment(fn.name) !== isFragment(name)) continue;
    found.set(fn.value, fn.name);
  }
  const names = [...found.values()];
  if (names.length < 2) return names.length === 0 ? undefined : module.elf.findSymbol(names[0]!);
  const shown = names.slice(0, MOST_SHOWN).map((symbol) => `${demangle(symbol)!.full} (${symbol})`);
  throw new ProcessError(
    'PROCESS_SYMBOL_AMBIGUOUS',
    `cannot tell which function '${name}' of '${module.name}' is meant: there are ${names.length}`,
    {
      why: `it may be ${shown.join(', ')}${names.length > MOST_SHOWN ? ' or another' : ''}`,
      fix: 'add the types of its parameters, or name the symbol',
    },
  );
}

const MOST_SHOWN = 4;

/** A stub of the module for a function that it imports. */
function resolveStub(module: Module, name: string): ResolvedFunction {
  const stub = findLinkageStub(module.elf, name.slice(0, -STUB_SUFFIX.length));
  if (stub === undefined) throw notFound(module, name, 'it calls no such function through a stub');
  return { module, name, address: module.bias + stub.value, size: stub.size };
}

/**
 * An indirect function: the symbol names a resolver that ran once, at load time, and the choice stands in the slots of those
 * who call it.
 */
function resolveIndirect(
  module: Module,
  symbol: ElfSymbol,
  name: string,
  modules: readonly Module[],
  memory: ProcessMemory,
): ResolvedFunction {
  for (const caller of [module, ...modules.filter((m) => m !== module)]) {
    for (const slot of slotsOf(caller, module, symbol, name)) {
      const address = viewOf(memory.read(caller.bias + slot, 8)).getBigUint64(0, true);
      // A slot that was not used yet still leads to its own linkage table.
      if (module.holdsCode(address)) return { module, name, address, size: sizeAt(module, address) };
    }
  }
  throw new ProcessError(
    'PROCESS_IFUNC_UNRESOLVED',
    `cannot resolve '${name}' in '${module.name}': it is chosen at run time, and nothing in the process has called it yet`,
    { fix: 'name the implementation itself, as in __strlen_avx2, if the module has symbols for it' },
  );
}

/** Where `caller` keeps the address of the function, before relocation. */
function* slotsOf(caller: Module, definer: Module, symbol: ElfSymbol, name: string): Generator<bigint> {
  const elf = elfOf(caller);
  if (elf === undefined) return;
  const names = elf.dynsym;
  for (const { type, symbol: index, addend, offset } of loadTimeRelocations(elf)) {
    if (type === X64Relocation.IRELATIVE) {
      if (caller === definer && addend === symbol.value) yield offset;
    } else if (type === X64Relocation.JUMP_SLOT || type === X64Relocation.GLOB_DAT) {
      if (names !== undefined && index < names.count && names.at(index).name === name) yield offset;
    }
  }
}

/** Those of the dynamic loader or, in a static executable, of the C library's start-up code. */
function* loadTimeRelocations(elf: ElfFile): Generator<Relocation> {
  if (elf.dynamic !== undefined) yield* elf.dynamic.relocations();
  else {
    for (const section of elf.sections) {
      if (section.type === SectionType.RELA && section.flags & SectionFlag.ALLOC) yield* elf.relocations(section);
    }
  }
}

/** A caller whose file cannot be read just has no slots to offer. */
function elfOf(module: Module): ElfFile | undefined {
  try {
    return module.elf;
  } catch {
    return undefined;
  }
}

function sizeAt(module: Module, address: bigint): number {
  const value = address - module.bias;
  for (const symbol of module.elf.symbols()) {
    if (symbol.value === value && symbol.type === SymbolType.FUNC) return symbol.size;
  }
  return 0;
}

function notFound(module: Module, name: string, why: string): ProcessError {
  const fix = didYouMean(suggest(name, functionNames(module.elf)));
  return new ProcessError(
    'PROCESS_SYMBOL_NOT_FOUND',
    `cannot find function '${name}' in '${module.name}': ${why}`,
    fix === undefined ? {} : { fix },
  );
}

function* functionNames(elf: ElfFile): Generator<string> {
  for (const { type, section, name } of elf.symbols()) {
    if (section !== 0 && (type === SymbolType.FUNC || type === SymbolType.GNU_IFUNC)) yield name;
  }
}
