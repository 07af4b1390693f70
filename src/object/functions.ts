/** The functions of an object: code sections cut at their symbols, with what relocations and BTF.ext say about each. */
import type { BtfExt, CoreRelocation } from '../btf/btf-ext.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { type Section, SectionFlag, SectionType } from '../elf/sections.ts';
import { type ElfSymbol, SymbolBinding, SymbolType, SymbolVisibility } from '../elf/symbols.ts';
import { BpfError } from '../errors.ts';
import { decode } from '../insn/decode.ts';
import type { Insn } from '../insn/insn.ts';
import { ObjectError } from './errors.ts';
import { type Relocation, type Relocations, symbolsOf } from './relocation.ts';
import type { SourceLine } from './spec.ts';

const SLOT_SIZE = 8;
const TEXT = '.text';
const NOTHING: ReadonlyMap<number, string> = new Map();
/** The kernel's KSYM_NAME_LEN. */
const MAX_NAME = 512;

/** One function, not linked yet: slots count from its own beginning. */
export interface CodeFunction {
  readonly name: string;
  readonly section: Section;
  /** Bytes from the start of the section. */
  readonly offset: number;
  /** Whether it can be attached: `.text` holds what is only called. */
  readonly isProgram: boolean;
  /** What the verifier may assume about callers: a hidden function is as good as static. */
  readonly linkage: 'static' | 'global';
  /** Empty if there is a defect. */
  readonly insns: readonly Insn[];
  /** Why it is no function after all. */
  readonly defect: ObjectError | undefined;
  /** By slot. */
  readonly relocations: ReadonlyMap<number, Relocation>;
  readonly lines: ReadonlyMap<number, SourceLine>;
  /** Id of its `func` in the BTF, if that is told. */
  readonly type: number | undefined;
  /** By slot: what the kernel's types are to say. */
  readonly coreRelocations: ReadonlyMap<number, CoreRelocation>;
  /** By slot: fields and types that relocations ask for, and the kernel has not. */
  readonly missing: ReadonlyMap<number, string>;
}

/** What a section's name says of the programs in it: as in libbpf, nobody sees a leading `?`, which has them wait to be asked for. */
export function sectionOf({ section: { name } }: CodeFunction): {
  readonly section: string;
  readonly isOptional?: true;
} {
  return name.startsWith('?') ? { section: name.slice(1), isOptional: true } : { section: name };
}

/**
 * Reads all functions, by section and then by address. What is wrong with the instructions of one is in its `defect`.
 *
 * @throws {ObjectError} OBJECT_BAD_FUNCTION, OBJECT_STATIC_PROGRAM, OBJECT_BAD_RELOCATION, OBJECT_NO_SYMBOLS
 * @throws {ElfError} if a section or symbol is malformed
 */
export function readFunctions(elf: ElfFile, relocations: Relocations, ext: BtfExt | undefined): CodeFunction[] {
  const code = elf.sections.filter(
    ({ type, flags, size }) => type === SectionType.PROGBITS && flags & SectionFlag.EXEC && size > 0,
  );
  if (code.length === 0) return [];
  const symbols = new Map(code.map((section) => [section.index, [] as ElfSymbol[]]));
  for (const symbol of symbolsOf(elf)) {
    if (symbol.type === SymbolType.FUNC) symbols.get(symbol.section)?.push(symbol);
  }
  return code.flatMap((section) => {
    const inOrder = symbols.get(section.index)!.sort((a, b) => Number(a.value) - Number(b.value));
    return readSection(elf, section, inOrder, [...relocations.of(section)], ext);
  });
}

function readSection(
  elf: ElfFile,
  section: Section,
  symbols: readonly ElfSymbol[],
  relocations: readonly Relocation[],
  ext: BtfExt | undefined,
): CodeFunction[] {
  const data = elf.data(section);
  const records = {
    relocations: byOffset(relocations),
    lines: byOffset(ext?.lines.get(section.name) ?? []),
    core: byOffset(ext?.relocations.get(section.name) ?? []),
    functions: byOffset(ext?.functions.get(section.name) ?? []),
  };

  let end = 0;
  const defective: { readonly start: number; readonly end: number }[] = [];
  const functions = symbols.map((symbol): CodeFunction => {
    const code = functionBytes(data, symbol, section, end);
    const offset = Number(symbol.value);
    end = offset + code.length;
    const { insns, defect } = decodeFunction(code, symbol.name);
    if (defect !== undefined) defective.push({ start: offset, end });
    const own = <T>(sectionRecords: ReadonlyMap<number, T>) => recordsOf(insns, offset, sectionRecords);
    const isPublic = symbol.binding !== SymbolBinding.LOCAL;
    if (!isPublic && section.name !== TEXT) {
      throw new ObjectError(
        'OBJECT_STATIC_PROGRAM',
        `cannot read program '${symbol.name}' of '${section.name}': it is static, wanted global`,
      );
    }
    const isVisible =
      symbol.visibility === SymbolVisibility.DEFAULT || symbol.visibility === SymbolVisibility.PROTECTED;
    return {
      name: symbol.name,
      section,
      offset,
      isProgram: section.name !== TEXT,
      linkage: isPublic && isVisible ? 'global' : 'static',
      insns,
      defect,
      relocations: own(records.relocations),
      lines: own(records.lines),
      type: records.functions.get(offset)?.type,
      coreRelocations: own(records.core),
      missing: NOTHING,
    };
  });

  const applied = new Set(functions.flatMap((f) => [...f.relocations.values()]));
  const isDefective = (at: number) => defective.some((part) => at >= part.start && at < part.end);
  const stray = relocations.find((relocation) => !applied.has(relocation) && !isDefective(relocation.offset));
  if (stray !== undefined) {
    throw new ObjectError(
      'OBJECT_BAD_RELOCATION',
      `cannot relocate '${section.name}': no instruction of its own begins at byte ${stray.offset}`,
    );
  }
  return functions;
}

function functionBytes(data: Uint8Array, symbol: ElfSymbol, section: Section, previousEnd: number): Uint8Array {
  const { name, size } = symbol;
  if (name.length >= MAX_NAME) {
    throw new ObjectError(
      'OBJECT_BAD_FUNCTION',
      `cannot read a function: its name has ${name.length} characters, wanted less than ${MAX_NAME}`,
    );
  }
  const start = Number(symbol.value);
  const isWhole = size > 0 && start % SLOT_SIZE === 0 && size % SLOT_SIZE === 0;
  if (!isWhole || start < previousEnd || start + size > data.length) {
    throw new ObjectError(
      'OBJECT_BAD_FUNCTION',
      `cannot read function '${name}': ${size} bytes at ${start} of '${section.name}', wanted whole slots from ${previousEnd} to ${data.length}`,
    );
  }
  return data.subarray(start, start + size);
}

function decodeFunction(code: Uint8Array, name: string): Pick<CodeFunction, 'insns' | 'defect'> {
  try {
    return { insns: decode(code), defect: undefined };
  } catch (cause) {
    if (!(cause instanceof BpfError)) throw cause;
    return { insns: [], defect: new ObjectError('OBJECT_BAD_FUNCTION', `cannot read function '${name}'`, { cause }) };
  }
}

function byOffset<T extends { readonly offset: number }>(records: readonly T[]): ReadonlyMap<number, T> {
  return new Map(records.map((record) => [record.offset, record]));
}

/** Records of a section that belong to the instructions of one function, by slot. */
function recordsOf<T>(insns: readonly Insn[], offset: number, records: ReadonlyMap<number, T>): Map<number, T> {
  const own = new Map<number, T>();
  for (const { slot } of insns) {
    const record = records.get(offset + slot * SLOT_SIZE);
    if (record !== undefined) own.set(slot, record);
  }
  return own;
}
