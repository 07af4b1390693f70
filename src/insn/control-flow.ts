/** Basic blocks: what runs from its first instruction to its last, and where it may go from there. */
import { InsnError } from './errors.ts';
import { operationOf } from './form.ts';
import type { Insn } from './insn.ts';
import { SlotMap } from './layout.ts';

/** Instructions `start` to `end` (exclusive), by index. Only the first is jumped to, only the last jumps. */
export interface BasicBlock {
  readonly start: number;
  readonly end: number;
  /**
   * Indexes in `blocks`: none after exit; a branch has two, the one it falls through to first, even if they are the
   * same. A local call does not end a block.
   */
  readonly successors: readonly number[];
}

/** One function: instructions `start` to `end` (exclusive), by index. */
export interface SubprogramFlow {
  readonly start: number;
  readonly end: number;
  /** In order of instructions; the first is the entry. Those that nothing reaches are there too. */
  readonly blocks: readonly BasicBlock[];
}

/** The indexes where functions begin: 0 and the target of every local call, ascending. @throws {InsnError} INSN_BAD_TARGET */
export function subprogramStarts(insns: readonly Insn[]): number[] {
  const slots = new SlotMap(insns);
  const starts = new Set([0]);
  for (const insn of insns) if (isLocalCall(insn)) starts.add(slots.target(insn)!);
  return [...starts].sort((a, b) => a - b);
}

/**
 * Splits a laid-out program into the blocks of each of its functions.
 *
 * @param starts index of each function's first instruction, ascending, the first 0
 * @throws {InsnError} INSN_BAD_TARGET if a jump goes nowhere or into another function, or a function falls off its end
 */
export function controlFlow(insns: readonly Insn[], starts: readonly number[]): SubprogramFlow[] {
  const slots = new SlotMap(insns);
  return starts.map((start, index) => subprogramFlow(insns, slots, start, starts[index + 1] ?? insns.length));
}

function subprogramFlow(insns: readonly Insn[], slots: SlotMap, start: number, end: number): SubprogramFlow {
  /** Index of an instruction -> the indexes control may go to from it, for those that end a block. */
  const exits = new Map<number, number[]>();
  const leaders = new Set([start]);
  for (let index = start; index < end; index++) {
    const next = successorsOf(insns[index]!, index, slots);
    if (next === undefined) continue;
    exits.set(index, next);
    for (const leader of next) leaders.add(leader);
    if (index + 1 < end) leaders.add(index + 1);
  }

  const starts = [...leaders].sort((a, b) => a - b);
  const blockAt = new Map(starts.map((leader, block) => [leader, block]));
  const blocks = starts.map((leader, block) => {
    const blockEnd = starts[block + 1] ?? end;
    const successors = (exits.get(blockEnd - 1) ?? [blockEnd]).map((next) => {
      const successor = blockAt.get(next);
      if (successor === undefined || next < start || next >= end) {
        throw new InsnError(
          'INSN_BAD_TARGET',
          `cannot follow control from instruction ${blockEnd - 1} to ${next}: its function is ${start} to ${end - 1}`,
        );
      }
      return successor;
    });
    return { start: leader, end: blockEnd, successors };
  });
  return { start, end, blocks };
}

/** Where an instruction that ends a block goes; undefined for one that just goes on. */
function successorsOf(insn: Insn, index: number, slots: SlotMap): number[] | undefined {
  switch (operationOf(insn).kind) {
    case 'exit':
      return [];
    case 'jump':
      return [slots.target(insn)!];
    case 'branch':
    case 'mayGoto':
      return [index + 1, slots.target(insn)!];
    default:
      return undefined;
  }
}

function isLocalCall(insn: Insn): boolean {
  const operation = operationOf(insn);
  return operation.kind === 'call' && operation.callee === 'local';
}
