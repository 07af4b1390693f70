/** Basic blocks: what runs from its first instruction to its last, and where it may go from there. */
import { InsnError } from './errors.ts';
import { type Operation, operationOf } from './form.ts';
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
  // By instruction of the function: 1 where a block begins, then which one. Large programs make every container else slow.
  const leads = new Uint8Array(Math.max(1, end - start));
  leads[0] = 1;
  for (let index = start; index < end; index++) {
    const insn = insns[index]!;
    const { kind } = operationOf(insn);
    if (kind !== 'exit' && !isJump(kind)) continue;
    if (index + 1 < end) leads[index + 1 - start] = 1;
    if (kind === 'exit') continue;
    const target = slots.target(insn)!;
    if (target >= start && target < end) leads[target - start] = 1;
  }
  const blockAt = new Int32Array(leads.length);
  const starts: number[] = [];
  for (let at = 0; at < leads.length; at++) if (leads[at] === 1) blockAt[at] = starts.push(start + at) - 1;

  const blocks: BasicBlock[] = [];
  for (let block = 0; block < starts.length; block++) {
    const blockEnd = starts[block + 1] ?? end;
    const successors = successorsOf(insns[blockEnd - 1], blockEnd - 1, slots);
    for (let way = 0; way < successors.length; way++) {
      const next = successors[way]!;
      if (next < start || next >= end) {
        throw new InsnError(
          'INSN_BAD_TARGET',
          `cannot follow control from instruction ${blockEnd - 1} to ${next}: its function is ${start} to ${end - 1}`,
        );
      }
      successors[way] = blockAt[next - start]!;
    }
    blocks.push({ start: starts[block]!, end: blockEnd, successors });
  }
  return { start, end, blocks };
}

function isJump(kind: Operation['kind']): boolean {
  return kind === 'jump' || kind === 'branch' || kind === 'mayGoto';
}

/** Where a block goes whose last instruction this is; there is none in a function of no instructions. */
function successorsOf(last: Insn | undefined, index: number, slots: SlotMap): number[] {
  switch (last && operationOf(last).kind) {
    case 'exit':
      return [];
    case 'jump':
      return [slots.target(last!)!];
    case 'branch':
    case 'mayGoto':
      return [index + 1, slots.target(last!)!];
    default:
      return [index + 1];
  }
}

function isLocalCall(insn: Insn): boolean {
  const operation = operationOf(insn);
  return operation.kind === 'call' && operation.callee === 'local';
}
