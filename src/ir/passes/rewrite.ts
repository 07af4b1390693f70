/** Small changes to a function that keep predecessors and phis in step: what passes are written with. */
import { reversePostorder } from '../dominators.ts';
import type { Block, IrFunction, Terminator, Value } from '../value.ts';

/** Puts other values in place of some, wherever they are used. */
export function replaceUses(fn: IrFunction, replacements: ReadonlyMap<Value, Value>): void {
  if (replacements.size === 0) return;
  const resolve = (value: Value): Value => {
    let last = value;
    for (let next = replacements.get(last); next !== undefined; next = replacements.get(last)) last = next;
    return last;
  };
  for (const { values, terminator } of fn.blocks) {
    for (const { args } of values) {
      for (const [index, arg] of args.entries()) args[index] = resolve(arg);
    }
    if (terminator?.op === 'branch') terminator.condition = resolve(terminator.condition);
    if (terminator?.op === 'return') terminator.value = resolve(terminator.value);
  }
}

/** The block's phis. */
export function phisOf({ values }: Block): Value[] {
  const end = values.findIndex(({ operation }) => operation.op !== 'phi');
  return end < 0 ? values : values.slice(0, end);
}

/** Forgets that control comes to `block` from `predecessor`. */
export function removePredecessor(block: Block, predecessor: Block): void {
  const edge = block.predecessors.indexOf(predecessor);
  block.predecessors.splice(edge, 1);
  for (const { args } of phisOf(block)) args.splice(edge, 1);
}

/** Removes blocks that nothing reaches, and their edges. */
export function removeUnreachable(fn: IrFunction): void {
  const reached = new Set(reversePostorder(fn));
  if (reached.size === fn.blocks.length) return;
  fn.blocks = fn.blocks.filter((block) => reached.has(block));
  for (const block of fn.blocks) {
    const lost = block.predecessors.filter((predecessor) => !reached.has(predecessor));
    for (const predecessor of lost) removePredecessor(block, predecessor);
  }
}

/** The terminator with one of its targets changed; a branch to the same block on both sides is a jump. */
export function retarget(terminator: Terminator, from: Block, to: Block): Terminator {
  if (terminator.op === 'return') return terminator;
  if (terminator.op === 'jump') return { op: 'jump', target: to };
  const then = terminator.then === from ? to : terminator.then;
  const otherwise = terminator.otherwise === from ? to : terminator.otherwise;
  return then === otherwise
    ? { op: 'jump', target: to }
    : { op: 'branch', condition: terminator.condition, then, otherwise };
}
