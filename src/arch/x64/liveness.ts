/**
 * Where each register is in use. Instruction n of a function (in layout order) reads its operands at position 2n and
 * writes its results at 2n + 1, so a result may take the register of an operand that is used for the last time.
 */
import { rolesOf } from './instructions.ts';
import { FIRST_VIRTUAL, type Inst, type LirBlock, type LirFunction, targets, type VReg } from './lir.ts';
import type { Reg } from './registers.ts';

/** Half-open intervals of positions in ascending order, flat: start, end, start, end, ... */
export type Segments = readonly number[];

/** Calls back for each register operand, those inside addresses included. */
export function visitRegisters(inst: Inst, visit: (register: VReg, role: string) => void): void {
  const { operands, reads, writes } = inst;
  const roles = rolesOf(inst);
  for (let n = 0; n < operands.length; n++) {
    const operand = operands[n]!;
    if (operand.kind === 'reg') visit(operand.reg, roles[n]!);
    if (operand.kind !== 'mem') continue;
    if (operand.base !== undefined) visit(operand.base, 'r');
    if (operand.index !== undefined) visit(operand.index, 'r');
  }
  if (reads !== undefined) for (const register of reads) visit(register, 'r');
  if (writes !== undefined) for (const register of writes) visit(register, 'w');
}

/** Hardware registers that code with hardware registers changes. */
export function changedIn(blocks: readonly LirBlock[]): Set<Reg> {
  const changed = new Set<Reg>();
  for (const { insts } of blocks) {
    for (const inst of insts) {
      visitRegisters(inst, (register, role) => {
        if (role !== 'r') changed.add(register as Reg);
      });
    }
  }
  return changed;
}

/** The live segments of every register. */
export function liveness(fn: LirFunction): Segments[] {
  const liveIn = liveAtStart(fn);
  // Built from the end: each list is in descending order until the end.
  const segments: number[][] = Array.from({ length: fn.registerCount }, () => []);
  /** Where the segment that is being followed upwards ends, by register. */
  const openEnd = new Map<VReg, number>();

  let position = 2 * fn.blocks.reduce((sum, block) => sum + block.insts.length, 0);
  for (const block of fn.blocks.toReversed()) {
    for (const target of targets(block)) {
      for (const register of liveIn.get(target)!) openEnd.set(register, position);
    }
    for (let n = block.insts.length - 1; n >= 0; n--) {
      position -= 2;
      const reads: VReg[] = [];
      visitRegisters(block.insts[n]!, (register, role) => {
        if (role !== 'r') {
          const end = openEnd.get(register) ?? position + 2;
          openEnd.delete(register);
          if (role === 'm') openEnd.set(register, end);
          else addBefore(segments[register]!, role === 'e' ? position : position + 1, end);
        }
        if (role === 'r') reads.push(register);
      });
      for (const register of reads) if (!openEnd.has(register)) openEnd.set(register, position + 1);
    }
    for (const [register, end] of openEnd) addBefore(segments[register]!, position, end);
    openEnd.clear();
  }
  for (const list of segments) list.reverse();
  return segments;
}

/** Prepends [start, end) to a list kept backwards (end, start, end, start ...), joining what touches. */
function addBefore(backwards: number[], start: number, end: number): void {
  if (backwards.length > 0 && backwards.at(-1)! <= end) backwards[backwards.length - 1] = start;
  else backwards.push(end, start);
}

/** Virtual registers whose value is needed when a block begins. */
export function liveAtStart(fn: LirFunction): Map<LirBlock, Set<VReg>> {
  const liveIn = new Map<LirBlock, Set<VReg>>();
  const written = new Map<LirBlock, Set<VReg>>();
  const predecessors = new Map<LirBlock, LirBlock[]>();
  for (const block of fn.blocks) {
    liveIn.set(block, new Set());
    written.set(block, new Set());
    predecessors.set(block, []);
  }
  const work: [LirBlock, VReg][] = [];
  for (const block of fn.blocks) {
    for (const target of targets(block)) predecessors.get(target)!.push(block);
    const defined = written.get(block)!;
    const needed = liveIn.get(block)!;
    for (const inst of block.insts) {
      const results: VReg[] = [];
      visitRegisters(inst, (register, role) => {
        if (register < FIRST_VIRTUAL) return;
        if ((role === 'r' || role === 'm') && !defined.has(register)) needed.add(register);
        if (role !== 'r') results.push(register);
      });
      for (const register of results) defined.add(register);
    }
    for (const register of needed) work.push([block, register]);
  }
  for (let item = work.pop(); item !== undefined; item = work.pop()) {
    const [block, register] = item;
    for (const predecessor of predecessors.get(block)!) {
      if (written.get(predecessor)!.has(register) || liveIn.get(predecessor)!.has(register)) continue;
      liveIn.get(predecessor)!.add(register);
      work.push([predecessor, register]);
    }
  }
  return liveIn;
}

/** True if two lists of segments share a position. */
export function overlap(a: Segments, b: Segments): boolean {
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i + 1]! <= b[j]!) i += 2;
    else if (b[j + 1]! <= a[i]!) j += 2;
    else return true;
  }
  return false;
}

/** The segments of either; they must not overlap. */
export function union(a: Segments, b: Segments): Segments {
  const result: number[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const fromA = j >= b.length || (i < a.length && a[i]! < b[j]!);
    const [start, end] = fromA ? [a[i]!, a[i + 1]!] : [b[j]!, b[j + 1]!];
    if (fromA) i += 2;
    else j += 2;
    if (result.at(-1) === start) result[result.length - 1] = end;
    else result.push(start, end);
  }
  return result;
}

/** How many positions the segments cover. */
export function coverage(segments: Segments): number {
  let sum = 0;
  for (let n = 0; n < segments.length; n += 2) sum += segments[n + 1]! - segments[n]!;
  return sum;
}
