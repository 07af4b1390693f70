/**
 * What the incomplete instructions of a function stand for: local calls and 64-bit loads, most with a relocation.
 * Source: Linux Documentation/bpf/llvm_reloc.rst, tools/lib/bpf/libbpf.c (bpf_program__record_reloc).
 */
import { SectionIndex } from '../elf/sections.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { LddwKind } from '../insn/opcode.ts';
import { ObjectError } from './errors.ts';
import type { CodeFunction } from './functions.ts';
import type { ObjectLayout, Place } from './layout.ts';
import { BpfRelocation, type Relocation } from './relocation.ts';

const SLOT_SIZE = 8;

/**
 * The places that a function's instructions refer to, by slot. Instructions that need none are not in the result.
 *
 * @throws {ObjectError} OBJECT_BAD_RELOCATION, OBJECT_BAD_CALL, OBJECT_BAD_REFERENCE, OBJECT_EXTERN
 */
export function resolveReferences(from: CodeFunction, layout: ObjectLayout): ReadonlyMap<number, Place> {
  const places = new Map<number, Place>();
  for (const insn of from.insns) {
    const place = resolve(from, insn, layout);
    if (place !== undefined) places.set(insn.slot, place);
  }
  return places;
}

function resolve(from: CodeFunction, insn: Insn, layout: ObjectLayout): Place | undefined {
  const operation = operationOf(insn);
  const relocation = from.relocations.get(insn.slot);
  if (operation.kind === 'call' && operation.callee === 'local') return resolveCall(from, insn, relocation, layout);
  if (operation.kind === 'lddw') return resolveLoad(from, insn, relocation, layout);
  if (relocation !== undefined) {
    throw badRelocation(from, insn, relocation, 'the instruction is neither a local call nor a 64-bit load');
  }
  return undefined;
}

/** `imm` counts slots from the next instruction or, if there is a relocation, from just before its symbol: -1 is the symbol. */
function resolveCall(from: CodeFunction, insn: Insn, relocation: Relocation | undefined, layout: ObjectLayout): Place {
  if (relocation?.symbol.section === SectionIndex.UNDEF && relocation.type === BpfRelocation.R64_32) {
    const kernelFunction = layout.kernelFunction(relocation.symbol.name);
    if (kernelFunction !== undefined) return kernelFunction;
  }
  const [section, base] =
    relocation === undefined
      ? [from.section.index, from.offset + insn.slot * SLOT_SIZE]
      : symbolPlace(from, insn, relocation, BpfRelocation.R64_32);
  const place = layout.at(section, base + (insn.imm + 1) * SLOT_SIZE);
  if (place?.kind === 'function') return place;
  throw new ObjectError(
    'OBJECT_BAD_CALL',
    `cannot link '${from.name}': the call at slot ${insn.slot} does not lead to the beginning of a function`,
  );
}

/** `imm` is added to the symbol's address: static variables and functions are named by their section's symbol. */
function resolveLoad(
  from: CodeFunction,
  insn: Insn,
  relocation: Relocation | undefined,
  layout: ObjectLayout,
): Place | undefined {
  if (relocation === undefined) {
    if (insn.src === LddwKind.NUMBER) return undefined;
    throw new ObjectError(
      'OBJECT_BAD_REFERENCE',
      `cannot link '${from.name}': the 64-bit load at slot ${insn.slot} names kernel object ${insn.imm} (src ${insn.src}), wanted a relocation`,
    );
  }
  const { section: definedIn, name } = relocation.symbol;
  if (definedIn === SectionIndex.UNDEF && relocation.type === BpfRelocation.R64_64) {
    const extern = layout.extern(name, insn.imm);
    if (extern !== undefined) return extern;
  }
  const [section, base] = symbolPlace(from, insn, relocation, BpfRelocation.R64_64);
  const place = layout.at(section, base + insn.imm);
  if (place === undefined) {
    const where = `byte ${base + insn.imm} of section ${section}`;
    throw badRelocation(from, insn, relocation, `no map, variable or function begins at ${where}`);
  }
  return place;
}

/** Section and offset of a relocation's symbol. */
function symbolPlace(
  from: CodeFunction,
  insn: Insn,
  relocation: Relocation,
  type: number,
): readonly [section: number, offset: number] {
  const { symbol } = relocation;
  if (relocation.type !== type) throw badRelocation(from, insn, relocation, `wanted type ${type}`);
  if (symbol.section === SectionIndex.UNDEF) {
    throw new ObjectError(
      'OBJECT_EXTERN',
      `cannot link '${from.name}': '${symbol.name}' is not defined in the object`,
      { why: 'variables and functions of the kernel do not exist in a process', fix: WEAK },
    );
  }
  return [symbol.section, Number(symbol.value)];
}

const WEAK = 'declare a variable __weak, if the program can do without: its address is 0 then';

function badRelocation(from: CodeFunction, insn: Insn, { type, symbol }: Relocation, why: string): ObjectError {
  const what = symbol.name === '' ? `section ${symbol.section}` : `'${symbol.name}'`;
  return new ObjectError(
    'OBJECT_BAD_RELOCATION',
    `cannot link '${from.name}': relocation of type ${type} to ${what} at slot ${insn.slot}: ${why}`,
  );
}
