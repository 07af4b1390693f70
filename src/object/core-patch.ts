/**
 * CO-RE relocations of a function, applied to its instructions. What accesses a field that does not exist becomes a call of no helper:
 * an error, unless a check in front of it keeps every path away. Source: Linux tools/lib/bpf/relo_core.c (bpf_core_patch_insn).
 */
import type { Btf } from '../btf/btf.ts';
import { type CoreTypes, type CoreValue, describeCore, resolveCore } from '../btf/core-resolve.ts';
import { BpfError } from '../errors.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { CallKind, Class, JumpCode, LddwKind, SizeCode } from '../insn/opcode.ts';
import { ObjectError } from './errors.ts';
import type { CodeFunction } from './functions.ts';

/** The helper that there is none of: 0xbad2310, "bad relo". */
export const NO_SUCH_FIELD = 195_896_080;

/**
 * The function with its relocations applied. One that cannot be is the function's defect.
 *
 * @param local the object's types
 */
export function applyCore(part: CodeFunction, local: Btf, types: CoreTypes): CodeFunction {
  if (part.coreRelocations.size === 0 || part.defect !== undefined) return part;
  const missing = new Map<number, string>();
  try {
    const insns = part.insns.flatMap((insn) => {
      const relocation = part.coreRelocations.get(insn.slot);
      if (relocation === undefined) return [insn];
      const value = resolveCore(relocation, local, types);
      const patched = patch(insn, value);
      if (patched !== undefined) return [patched];
      missing.set(insn.slot, describeCore(relocation, local));
      return poison(insn);
    });
    return { ...part, insns, missing };
  } catch (cause) {
    if (!(cause instanceof BpfError)) throw cause;
    const defect = new ObjectError('OBJECT_BAD_CORE', `cannot relocate '${part.name}' by the kernel's types`, {
      cause,
    });
    return { ...part, insns: [], defect };
  }
}

/** undefined if there is nothing to access, or it cannot be accessed so. */
function patch(insn: Insn, core: CoreValue): Insn | undefined {
  const { value, expected } = core;
  if (value === undefined) return undefined;
  const operation = operationOf(insn);
  switch (operation.kind) {
    case 'alu':
      if (operation.operand !== 'imm') throw misplaced(insn, 'its operand is a register');
      check(insn, BigInt(insn.imm), expected === undefined ? undefined : BigInt.asIntN(32, expected));
      return { ...insn, imm: Number(BigInt.asIntN(32, value)) };
    case 'lddw':
      if (insn.src !== LddwKind.NUMBER) throw misplaced(insn, 'it loads what is no number');
      check(insn, insn.imm64!, expected === undefined ? undefined : BigInt.asUintN(64, expected));
      return { ...insn, imm: Number(BigInt.asIntN(32, value)), imm64: BigInt.asUintN(64, value) };
    case 'load':
    case 'store':
      check(insn, BigInt(insn.offset), expected);
      if (value > MAX_OFFSET) throw misplaced(insn, `the field is at byte ${value}, wanted at most ${MAX_OFFSET}`);
      return resize({ ...insn, offset: Number(value) }, core);
    default:
      throw misplaced(insn, `it is a ${operation.kind}, wanted a load, a store or a number`);
  }
}

const MAX_OFFSET = 0x7fff;

/** Loads as many bytes as the field has there. Signed numbers would need more than another size. */
function resize(insn: Insn, { access }: CoreValue): Insn | undefined {
  const { local, target } = access ?? {};
  if (local === undefined || target === undefined || local.size === target.size) return insn;
  const arePointers = local.type.kind === 'ptr' && target.type.kind === 'ptr';
  const areUnsigned =
    local.type.kind === 'int' && target.type.kind === 'int' && !local.type.signed && !target.type.signed;
  if (!arePointers && !areUnsigned) return undefined;
  const code = SIZES[target.size];
  if (code === undefined) throw misplaced(insn, `the field has ${target.size} bytes, wanted 1, 2, 4 or 8`);
  return { ...insn, opcode: (insn.opcode & ~SizeCode.DW) | code };
}

const SIZES: Readonly<Record<number, number>> = { 1: SizeCode.B, 2: SizeCode.H, 4: SizeCode.W, 8: SizeCode.DW };

function check(insn: Insn, found: bigint, expected: bigint | undefined): void {
  if (expected !== undefined && found !== expected) {
    throw misplaced(insn, `it holds ${found}, where the object's own types say ${expected}`);
  }
}

/** As many instructions as there were slots: places stay the same. */
function poison(insn: Insn): Insn[] {
  const call = (slot: number): Insn => ({
    opcode: Class.JMP | JumpCode.CALL,
    dst: 0,
    src: CallKind.HELPER,
    offset: 0,
    imm: NO_SUCH_FIELD,
    slot,
  });
  return insn.imm64 === undefined ? [call(insn.slot)] : [call(insn.slot), call(insn.slot + 1)];
}

function misplaced({ slot }: Insn, why: string): ObjectError {
  return new ObjectError('OBJECT_BAD_CORE', `cannot relocate the instruction at slot ${slot}: ${why}`);
}
