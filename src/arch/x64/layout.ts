/**
 * In which order blocks lie and how often each runs: loops in one piece, the likely way on next, cold blocks last.
 */
import { type LirBlock, type LirFunction, targets } from './lir.ts';

/** How much more often a loop's body runs than what is around it. */
const LOOP_FACTOR = 10;
/** How often cold blocks run, in a loop or not. */
const COLD = 0.01;

/** Orders the blocks, drops those that cannot be reached, and estimates their frequencies. */
export function layOut(fn: LirFunction): void {
  const entry = fn.blocks[0]!;
  const reached = reversePostorder(entry, targets);
  spreadCold(reached);
  const depths = loopDepths(reached);
  const depthOf = (block: LirBlock) => depths.get(block) ?? 0;
  // Depth-first search ends with what comes first: it visits what leaves a loop before what stays in it.
  const order = reversePostorder(entry, (block) =>
    targets(block)
      .toReversed()
      .sort((a, b) => Number(b.cold) - Number(a.cold) || depthOf(a) - depthOf(b)),
  );
  for (const block of order) {
    block.frequency = block.cold ? COLD : LOOP_FACTOR ** Math.min(depthOf(block), 4);
  }
  fn.blocks = [...order.filter(({ cold }) => !cold), ...order.filter(({ cold }) => cold)];
}

/** What is only reached from cold blocks, or only goes to them, is as cold. */
function spreadCold(order: readonly LirBlock[]): void {
  const cameFrom = new Map<LirBlock, boolean>();
  for (const block of order) {
    // Blocks behind a jump back are not known yet: those from before decide.
    if (cameFrom.get(block) === true) block.cold = true;
    for (const target of targets(block)) cameFrom.set(target, (cameFrom.get(target) ?? true) && block.cold);
  }
  for (const block of order.slice(1).reverse()) {
    const next = targets(block);
    if (next.length > 0 && next.every(({ cold }) => cold)) block.cold = true;
  }
}

/** In how many loops each block lies. */
function loopDepths(order: readonly LirBlock[]): Map<LirBlock, number> {
  const position = new Map(order.map((block, n) => [block, n]));
  const predecessors = new Map<LirBlock, LirBlock[]>();
  const backEdges = new Map<LirBlock, LirBlock[]>();
  for (const from of order) {
    for (const to of targets(from)) {
      const isBack = position.get(to)! <= position.get(from)!;
      append(isBack ? backEdges : predecessors, to, from);
      if (isBack) append(predecessors, to, from);
    }
  }
  const depths = new Map<LirBlock, number>();
  for (const [head, latches] of backEdges) {
    const body = new Set([head]);
    const work = [...latches];
    for (let block = work.pop(); block !== undefined; block = work.pop()) {
      if (body.has(block)) continue;
      body.add(block);
      work.push(...(predecessors.get(block) ?? []));
    }
    for (const block of body) depths.set(block, (depths.get(block) ?? 0) + 1);
  }
  return depths;
}

/** Every block before those it goes to, but for jumps back. */
function reversePostorder(entry: LirBlock, next: (block: LirBlock) => readonly LirBlock[]): LirBlock[] {
  const seen = new Set([entry]);
  const order: LirBlock[] = [];
  const stack = [{ block: entry, rest: [...next(entry)] }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const target = top.rest.shift();
    if (target === undefined) {
      order.push(top.block);
      stack.pop();
    } else if (!seen.has(target)) {
      seen.add(target);
      stack.push({ block: target, rest: [...next(target)] });
    }
  }
  return order.reverse();
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
