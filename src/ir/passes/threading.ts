/**
 * Jump threading: where a block only joins paths to ask what some of them know already, those go straight to the
 * answer. It is what makes `choose(in bounds, address, 0)` followed by the program's own test for 0 one branch.
 */
import { Dominators, reversePostorder } from '../dominators.ts';
import { Renaming } from '../renaming.ts';
import type { Block, IrFunction, Operation, Value } from '../value.ts';
import { learn, type Range, Ranges, rangeOf } from './ranges.ts';
import { phisOf, removePredecessor, removeUnreachable, retarget } from './rewrite.ts';
import { truthOf } from './simplify.ts';

/** True if any path got shorter. */
export function threadJumps(fn: IrFunction): boolean {
  const dominators = new Dominators(fn);
  const ranges = new Ranges();
  // Paths around a loop's head would give the loop two heads.
  const blocks = dominators.preorder.filter(
    (block) => !block.predecessors.some((predecessor) => dominators.dominates(block, predecessor)),
  );
  let changed = false;
  for (const block of blocks) {
    if (!onlyDecides(block)) continue;
    const known = block.predecessors.flatMap((predecessor, edge) => {
      const target = decideOn(block, edge, ranges);
      return target === undefined ? [] : [{ predecessor, target }];
    });
    if (known.length === 0 || leaksComputation(fn, block)) continue;
    thread(fn, block, known);
    changed = true;
  }
  return changed;
}

/** Values that can be left out on a path that knows the answer. Constants stand in the entry by now. */
const DECIDING: ReadonlySet<Operation['op']> = new Set(['phi', 'binary', 'unary', 'compare', 'select'] as const);

function onlyDecides({ terminator, predecessors, values }: Block): boolean {
  return (
    terminator?.op === 'branch' &&
    predecessors.length > 1 &&
    values.every(({ operation }) => DECIDING.has(operation.op))
  );
}

/** Where control goes on from `block` if it came along this edge, if that is known. */
function decideOn(block: Block, edge: number, ranges: Ranges): Block | undefined {
  const { terminator } = block;
  const end = block.predecessors[edge]!.terminator;
  if (terminator?.op !== 'branch' || end === undefined) return undefined;
  const facts = new Map<Value, Range>(
    end.op === 'branch' ? learn(end.condition, end.then === block, (value) => ranges.of(value)) : [],
  );
  const local = new Set(block.values);
  const rangeHere = (value: Value): Range => {
    const known = facts.get(value);
    if (known !== undefined) return known;
    if (!local.has(value)) return ranges.of(value);
    const { operation, args } = value;
    const range = operation.op === 'phi' ? rangeHere(args[edge]!) : rangeOf(operation, args.map(rangeHere));
    facts.set(value, range);
    return range;
  };
  const truth = truthOf(rangeHere(terminator.condition));
  if (truth === undefined) return undefined;
  return truth ? terminator.then : terminator.otherwise;
}

/** True if something the block computes is used elsewhere: who goes past it would miss it. */
function leaksComputation(fn: IrFunction, block: Block): boolean {
  const computed = new Set(block.values.filter(({ operation }) => operation.op !== 'phi'));
  if (computed.size === 0) return false;
  return fn.blocks.some(({ values, terminator }) => {
    if (values === block.values) return false;
    if (values.some(({ args }) => args.some((arg) => computed.has(arg)))) return true;
    if (terminator?.op === 'branch') return computed.has(terminator.condition);
    return terminator?.op === 'return' && computed.has(terminator.value);
  });
}

interface KnownPath {
  readonly predecessor: Block;
  readonly target: Block;
}

/** Leads each path through a block of its own, past `block`, and puts SSA form right again. */
function thread(fn: IrFunction, block: Block, paths: readonly KnownPath[]): void {
  const phis = phisOf(block);
  const bypasses = new Map<Block, Value[]>();
  for (const { predecessor, target } of paths) {
    const edge = block.predecessors.indexOf(predecessor);
    const incoming = phis.map(({ args }) => args[edge]!);
    const bypass = fn.block(block.cold || predecessor.cold ? 'cold' : 'hot');
    bypass.predecessors.push(predecessor);
    bypass.terminator = { op: 'jump', target };
    predecessor.terminator = retarget(predecessor.terminator!, block, bypass);
    removePredecessor(block, predecessor);
    bypasses.set(bypass, incoming);

    const from = target.predecessors.indexOf(block);
    target.predecessors.push(bypass);
    for (const { args } of phisOf(target)) {
      const arg = args[from]!;
      const phi = phis.indexOf(arg);
      args.push(phi < 0 ? arg : incoming[phi]!);
    }
  }
  removeUnreachable(fn);
  renamePhis(fn, block, phis, bypasses);
}

/** Behind the join, what was one phi is now several values. */
function renamePhis(
  fn: IrFunction,
  block: Block,
  phis: readonly Value[],
  bypasses: ReadonlyMap<Block, readonly Value[]>,
): void {
  const variable = new Map(phis.map((phi, index) => [phi, index]));
  const isUsed = fn.blocks.some(
    ({ values, terminator }) =>
      (values !== block.values && values.some(({ args }) => args.some((arg) => variable.has(arg)))) ||
      (terminator?.op === 'return' && variable.has(terminator.value)) ||
      (terminator?.op === 'branch' && terminator !== block.terminator && variable.has(terminator.condition)),
  );
  if (!isUsed) return;

  const renaming = new Renaming(fn);
  const order = reversePostorder(fn);
  const left = new Set<Block>();
  for (const here of order) {
    const kind = here.predecessors.every((predecessor) => left.has(predecessor)) ? 'join' : 'loop';
    const old = [...here.values];
    const entering = renaming.enter(here, kind, phis.length, () => true);
    left.add(here);
    const state = here === block ? [...phis] : [...(bypasses.get(here) ?? entering)];
    renaming.leave(here, state);
    const rename = (value: Value): Value => state[variable.get(value) ?? -1] ?? value;
    for (const { operation, args } of old) {
      if (operation.op !== 'phi') for (const [index, arg] of args.entries()) args[index] = rename(arg);
    }
    const { terminator } = here;
    if (terminator?.op === 'branch') terminator.condition = rename(terminator.condition);
    if (terminator?.op === 'return') terminator.value = rename(terminator.value);
  }
  renaming.finish();
  for (const here of order) {
    for (const { args } of phisOf(here)) {
      for (const [edge, arg] of args.entries()) {
        args[edge] = renaming.end(here.predecessors[edge]!)?.[variable.get(arg) ?? -1] ?? arg;
      }
    }
  }
}
