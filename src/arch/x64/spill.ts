/**
 * Moves ranges to the frame: each gets a slot, and each instruction that needs one reads and writes memory itself where
 * it can, else a scratch register of its own around it.
 */

import { fits32 } from './assembler.ts';
import type { Range } from './coalesce.ts';
import { rolesOf, rowOf } from './instructions.ts';
import { type Inst, type LirFunction, mapRegisters, type Operand, reg, slotOperand, type VReg } from './lir.ts';
import { Timeline } from './timeline.ts';

export function spill(fn: LirFunction, ranges: readonly Range[]): void {
  const slots = shareSlots(fn, ranges);
  for (const block of fn.blocks) block.insts = block.insts.flatMap((inst) => rewrite(fn, inst, slots));
}

/** The slot of each register; ranges that are never in use at the same time lie in the same one. */
function shareSlots(fn: LirFunction, ranges: readonly Range[]): Map<VReg, number> {
  const slots = new Map<VReg, number>();
  const taken: { readonly slot: number; readonly timeline: Timeline<Range> }[] = [];
  for (const range of ranges) {
    let place = taken.find(({ timeline }) => timeline.isFree(range.segments));
    if (place === undefined) {
      place = { slot: fn.newSlot(8), timeline: new Timeline<Range>([]) };
      taken.push(place);
    }
    place.timeline.add(range.segments, range);
    for (const member of range.members) slots.set(member, place.slot);
  }
  return slots;
}

function rewrite(fn: LirFunction, inst: Inst, slots: ReadonlyMap<VReg, number>): Inst[] {
  const used = spilledIn(inst, slots);
  if (used.size === 0) return [inst];
  if (inst.op === 'copy' || inst.op === 'split') return rewriteCopy(inst, slots);
  const before: Inst[] = [];
  const after: Inst[] = [];
  let { operands } = inst;
  for (const register of used) {
    const memory = slotOperand(slots.get(register)!);
    const position = memoryPosition({ ...inst, operands }, register);
    if (position !== undefined) {
      operands = operands.with(position, memory);
      continue;
    }
    const scratch = fn.newRegister();
    fn.unspillable.add(scratch);
    const { isRead, isWritten } = usage({ ...inst, operands }, register);
    if (isRead) before.push({ op: 'mov', size: 8, operands: [reg(scratch), memory], origin: inst.origin });
    if (isWritten) after.push({ op: 'mov', size: 8, operands: [memory, reg(scratch)], origin: inst.origin });
    operands = operands.map((operand) => mapRegisters(operand, (used) => (used === register ? scratch : used)));
  }
  // A constant goes to memory with `mov`, if it fits.
  const op = inst.op === 'const' && operands[0]!.kind === 'mem' ? 'mov' : inst.op;
  return [...before, { ...inst, op, operands }, ...after];
}

/** Copies work on slots as well as on registers. */
function rewriteCopy(inst: Inst, slots: ReadonlyMap<VReg, number>): Inst[] {
  const half = inst.operands.length / 2;
  const operands = inst.operands.map((operand) => {
    const slot = operand.kind === 'reg' ? slots.get(operand.reg) : undefined;
    return slot === undefined ? operand : slotOperand(slot);
  });
  const isMove = (_: unknown, n: number) => !isSameSlot(operands[n % half]!, operands[(n % half) + half]!);
  const moves = operands.filter(isMove);
  return moves.length === 0 ? [] : [{ ...inst, operands: moves }];
}

function isSameSlot(a: Operand, b: Operand): boolean {
  if (a.kind !== 'mem' || b.kind !== 'mem' || a.anchor.in !== 'frame' || b.anchor.in !== 'frame') return false;
  return a.anchor.slot === b.anchor.slot;
}

function spilledIn(inst: Inst, slots: ReadonlyMap<VReg, number>): Set<VReg> {
  const found = new Set<VReg>();
  for (const operand of inst.operands) {
    const registers =
      operand.kind === 'reg' ? [operand.reg] : operand.kind === 'mem' ? [operand.base, operand.index] : [];
    for (const register of registers) if (register !== undefined && slots.has(register)) found.add(register);
  }
  return found;
}

/** The operand that can be in memory for a register that occurs nowhere else in the instruction. */
function memoryPosition(inst: Inst, register: VReg): number | undefined {
  const { operands, size } = inst;
  if (operands.some(({ kind }) => kind === 'mem')) return undefined;
  const positions = operands.flatMap((operand, n) => (operand.kind === 'reg' && operand.reg === register ? [n] : []));
  const [position] = positions;
  if (position === undefined || positions.length > 1) return undefined;
  if (inst.op === 'const')
    return operands[1]?.kind === 'imm' && fits32(BigInt.asIntN(64, operands[1].value)) ? 0 : undefined;
  if (!rowOf(inst).memory?.includes(`${position}`)) return undefined;
  // Narrow writes would leave the upper half of the slot as it was.
  return rolesOf(inst)[position] === 'r' || size === 8 ? position : undefined;
}

function usage(inst: Inst, register: VReg): { isRead: boolean; isWritten: boolean } {
  const roles = rolesOf(inst);
  const own = inst.operands.flatMap((operand, n) =>
    operand.kind === 'reg' && operand.reg === register ? [roles[n]!] : [],
  );
  const inAddress = inst.operands.some((o) => o.kind === 'mem' && (o.base === register || o.index === register));
  return { isRead: inAddress || own.some((role) => 'rm'.includes(role)), isWritten: own.some((role) => role !== 'r') };
}
