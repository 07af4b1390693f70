/** Straightens control flow: decided branches, blocks that nothing reaches, empty ones, and chains of one. */
import { type Block, type IrFunction, successors, type Value } from '../value.ts';
import { phisOf, removePredecessor, removeUnreachable, replaceUses, retarget } from './rewrite.ts';
import { constantOf, testedValue } from './simplify.ts';

/** True if anything changed. */
export function straightenControl(fn: IrFunction): boolean {
  const before = fn.blocks.length;
  let changed = false;
  for (const block of fn.blocks) changed = foldBranch(block) || changed;
  if (changed) removeUnreachable(fn);
  for (const block of fn.blocks.slice(1)) changed = skipEmpty(block) || changed;
  removeUnreachable(fn);
  mergeChains(fn);
  return changed || fn.blocks.length < before;
}

/** A branch on a number is a jump; one on (a != 0) or (a == 0) is one on a. True if it became a jump. */
function foldBranch(block: Block): boolean {
  const { terminator } = block;
  if (terminator?.op !== 'branch') return false;
  const [condition, sense] = testedValue(terminator.condition);
  const [then, otherwise] = sense ? [terminator.then, terminator.otherwise] : [terminator.otherwise, terminator.then];
  const known = constantOf(condition);
  if (known === undefined) {
    block.terminator = { op: 'branch', condition, then, otherwise };
    return false;
  }
  const [target, other] = known === 0n ? [otherwise, then] : [then, otherwise];
  block.terminator = { op: 'jump', target };
  removePredecessor(other, block);
  return true;
}

/** Sends those who come to an empty block on to where it jumps. True if all of them could go. */
function skipEmpty(block: Block): boolean {
  const { terminator } = block;
  if (block.values.length > 0 || terminator?.op !== 'jump' || terminator.target === block) return false;
  const { target } = terminator;
  const phis = phisOf(target);
  const edge = target.predecessors.indexOf(block);
  for (const predecessor of [...block.predecessors]) {
    const goesThereToo = target.predecessors.includes(predecessor);
    // Which way it came would be lost.
    if (goesThereToo && phis.length > 0) continue;
    predecessor.terminator = retarget(predecessor.terminator!, block, target);
    removePredecessor(block, predecessor);
    if (goesThereToo) continue;
    target.predecessors.push(predecessor);
    for (const { args } of phis) args.push(args[edge]!);
  }
  if (block.predecessors.length > 0) return false;
  removePredecessor(target, block);
  block.terminator = { op: 'jump', target: block };
  return true;
}

/** Joins each block to the only one it goes to, where that one is reached from nowhere else. */
function mergeChains(fn: IrFunction): void {
  const replacements = new Map<Value, Value>();
  const merged = new Set<Block>();
  for (const block of fn.blocks) {
    if (merged.has(block)) continue;
    for (;;) {
      const { terminator } = block;
      if (terminator?.op !== 'jump' || terminator.target.predecessors.length !== 1 || terminator.target === block)
        break;
      const next = terminator.target;
      const phis = phisOf(next);
      for (const phi of phis) replacements.set(phi, phi.args[0]!);
      block.values.push(...next.values.slice(phis.length));
      block.terminator = next.terminator;
      merged.add(next);
      for (const successor of successors(next)) {
        successor.predecessors[successor.predecessors.indexOf(next)] = block;
      }
    }
  }
  fn.blocks = fn.blocks.filter((block) => !merged.has(block));
  replaceUses(fn, replacements);
}
