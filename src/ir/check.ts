/** Tells whether a function is in SSA form: what every pass expects and must leave behind. */
import { Dominators, reversePostorder } from './dominators.ts';
import { type Block, type IrFunction, type Operation, successors, type Value } from './value.ts';

/** What is wrong with `fn`, one sentence each; empty if nothing is. Unreachable blocks are not looked into. */
export function findProblems(fn: IrFunction): string[] {
  const problems: string[] = [];
  if (fn.blocks[0]!.predecessors.length > 0) problems.push('the entry has predecessors');
  for (const block of reversePostorder(fn)) checkEdges(block, fn, problems);
  // Dominance means nothing where the two ends of an edge disagree.
  if (problems.length > 0) return problems;
  const dominators = new Dominators(fn);
  const homes = findHomes(dominators.preorder, problems);
  for (const block of dominators.preorder) checkValues(block, fn, dominators, homes, problems);
  return problems;
}

/** A value's block and its place there. */
interface Home {
  readonly block: Block;
  readonly place: number;
}

function findHomes(blocks: readonly Block[], problems: string[]): Map<Value, Home> {
  const homes = new Map<Value, Home>();
  for (const block of blocks) {
    for (const [place, value] of block.values.entries()) {
      if (homes.has(value)) problems.push(`v${value.id} stands in two places`);
      homes.set(value, { block, place });
    }
  }
  return homes;
}

function checkEdges(block: Block, fn: IrFunction, problems: string[]): void {
  const name = `block ${block.id}`;
  if (block.terminator === undefined) problems.push(`${name} has no terminator`);
  const next = successors(block);
  if (new Set(next).size < next.length) problems.push(`${name} goes to one block twice`);
  for (const successor of next) {
    if (!fn.blocks.includes(successor)) problems.push(`${name} goes to block ${successor.id}, which is not listed`);
    if (!successor.predecessors.includes(block)) problems.push(`block ${successor.id} does not know ${name}`);
  }
  for (const predecessor of block.predecessors) {
    if (!successors(predecessor).includes(block)) problems.push(`block ${predecessor.id} does not go to ${name}`);
  }
  if (new Set(block.predecessors).size < block.predecessors.length) problems.push(`${name} names a predecessor twice`);
}

function checkValues(
  block: Block,
  fn: IrFunction,
  dominators: Dominators,
  homes: ReadonlyMap<Value, Home>,
  problems: string[],
): void {
  const reached = (from: Home | undefined, at: Block, place: number) =>
    from !== undefined && (from.block === at ? from.place < place : dominators.dominates(from.block, at));
  let phisOver = false;
  for (const [place, value] of block.values.entries()) {
    const { operation, args } = value;
    const isPhi = operation.op === 'phi';
    if (isPhi && phisOver) problems.push(`phi v${value.id} stands behind other values`);
    phisOver ||= !isPhi;
    const wanted = isPhi ? block.predecessors.length : argumentCount(operation);
    if (wanted !== undefined && args.length !== wanted)
      problems.push(`v${value.id} has ${args.length} operands, wants ${wanted}`);
    if (operation.op === 'param' && operation.index >= fn.paramCount) problems.push(`v${value.id} is no param`);
    for (const [index, arg] of args.entries()) {
      const at = isPhi ? block.predecessors[index] : block;
      // A predecessor that is never reached never brings its value.
      if (at === undefined || !dominators.preorder.includes(at)) continue;
      if (!reached(homes.get(arg), at, isPhi ? Number.POSITIVE_INFINITY : place)) {
        problems.push(`v${value.id} uses v${arg.id}, which does not dominate it`);
      }
    }
  }
  const end = block.terminator;
  const used = end?.op === 'branch' ? end.condition : end?.op === 'return' ? end.value : undefined;
  if (used !== undefined && !reached(homes.get(used), block, Number.POSITIVE_INFINITY)) {
    problems.push(`the end of block ${block.id} uses v${used.id}, which does not dominate it`);
  }
}

function argumentCount(operation: Operation): number | undefined {
  return operation.op === 'call' ? operation.callee.paramCount : ARGUMENT_COUNTS[operation.op];
}

/** Operations that are not listed take what they are given. */
const ARGUMENT_COUNTS: Partial<Record<Operation['op'], number>> = {
  const: 0,
  param: 0,
  bounded: 1,
  site: 0,
  stack: 0,
  binary: 2,
  unary: 1,
  compare: 2,
  select: 3,
  load: 1,
  increment: 1,
  store: 2,
  atomic: 2,
  cmpxchg: 3,
  cmpxchg16: 5,
  threadPointer: 0,
  threadLoad: 0,
  cpuNumber: 0,
  timestamp: 0,
};
