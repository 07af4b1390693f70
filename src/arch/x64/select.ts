/**
 * Instruction selection: IR to x86-64 instructions over virtual registers.
 *
 * Blocks are walked backwards and every value is asked for by its users: what a user can do by itself (an address, an
 * immediate, a load as an operand, a comparison before a jump) is never asked for and so never computed.
 */
import { type Block, hasEffect, type IrFunction, type Value } from '../../ir/value.ts';
import { lowerCondition } from './conditions.ts';
import { type Callee, type End, type Inst, LirBlock, type LirFunction, reg } from './lir.ts';
import { lowerValue } from './rules.ts';
import { type Convention, Selection, type Target } from './selection.ts';
import { constantOf, identical } from './value-facts.ts';

/** @throws {ArchError} ARCH_UNSUPPORTED for a value that cannot be in this function */
export function select(
  fn: IrFunction,
  target: Target,
  convention: Convention,
  calleeOf: (fn: IrFunction) => Callee,
): LirFunction {
  const s = new Selection(fn, target, convention, calleeOf);
  const blocks = new Map<Block, LirBlock>();
  for (const block of s.facts.order) blocks.set(block, newBlock(s, block.cold));
  for (const block of s.facts.order.toReversed()) lowerBlock(s, block, blocks);
  enter(s);
  return s.lir;
}

type Blocks = ReadonlyMap<Block, LirBlock>;

function newBlock(s: Selection, cold: boolean): LirBlock {
  const block = new LirBlock(cold);
  s.lir.blocks.push(block);
  return block;
}

function lowerBlock(s: Selection, block: Block, blocks: Blocks): void {
  const lir = blocks.get(block)!;
  const pieces: Inst[][] = []; // last first
  const end = { block, effectsBefore: s.facts.effectsIn(block), origin: endOrigin(block) };
  const lowerThisEnd = () => {
    lir.end = lowerEnd(s, block, blocks);
  };
  pieces.push(s.record(end, lowerThisEnd));
  const sunk = stepsAtEnd(s, block);
  for (const value of [...block.values.filter((v) => !sunk.has(v)), ...sunk].reverse()) {
    if (value.operation.op === 'phi' || !isNeeded(s, value)) continue;
    const { effectsBefore } = sunk.has(value) ? end : s.facts.of(value);
    pieces.push(s.record({ block, effectsBefore, origin: value.origin }, () => lowerValue(s, value)));
  }
  const [predecessor] = block.predecessors;
  if (predecessor !== undefined && block.predecessors.length === 1) {
    const start = { block, effectsBefore: 0, origin: undefined };
    pieces.push(s.record(start, () => lowerPhis(s, predecessor, block)));
  }
  lir.insts = pieces.reverse().flat();
}

/** The eBPF instruction that what stands at the end of a block belongs to. */
function endOrigin({ terminator, values }: Block): number | undefined {
  const condition = terminator?.op === 'branch' ? terminator.condition.origin : undefined;
  return condition ?? values.findLast(({ origin }) => origin !== undefined)?.origin;
}

/**
 * Steps like n + 1 that only the next iteration uses: done at the end of the block, where n is used no more, they can be
 * done in its register.
 */
function stepsAtEnd(s: Selection, block: Block): Set<Value> {
  const { terminator } = block;
  if (terminator?.op !== 'jump') return new Set();
  const { predecessors, values } = terminator.target;
  const edge = predecessors.indexOf(block);
  const phis = values.filter((value) => value.operation.op === 'phi' && !s.facts.isDead(value));
  const handedOn = new Set(phis.map(({ args }) => args[edge]));
  return new Set(block.values.filter((value) => handedOn.has(value) && isStep(value) && s.facts.isSingleUse(value)));
}

function isStep({ operation, args }: Value): boolean {
  return (
    (operation.op === 'binary' || operation.op === 'unary') &&
    args.slice(1).every((arg) => constantOf(arg) !== undefined)
  );
}

function isNeeded(s: Selection, value: Value): boolean {
  return hasEffect(value.operation) || (identical(value) === value && s.isAsked(value));
}

function lowerEnd(s: Selection, block: Block, blocks: Blocks): End {
  const { terminator } = block;
  if (terminator === undefined) throw new RangeError(`block ${block.id} has no terminator`);
  if (terminator.op === 'jump') {
    if (terminator.target.predecessors.length > 1) lowerPhis(s, block, terminator.target);
    return { op: 'jump', target: blocks.get(terminator.target)! };
  }
  if (terminator.op === 'branch') {
    const condition = lowerCondition(s, terminator.condition);
    const ifSo = lowerEdge(s, block, terminator.then, blocks);
    const ifNot = lowerEdge(s, block, terminator.otherwise, blocks);
    return { op: 'branch', condition, ifSo, ifNot };
  }
  const { result } = s.convention;
  if (result !== undefined) {
    s.place([[result, terminator.value]]);
    s.emit('leave', 8, [], { reads: [result] });
  }
  return { op: 'return' };
}

/** Where a branch goes: a block between, if the target's phis need something done on this way only. */
function lowerEdge(s: Selection, from: Block, to: Block, blocks: Blocks): LirBlock {
  const target = blocks.get(to)!;
  if (to.predecessors.length === 1) return target;
  const root = { block: from, effectsBefore: s.facts.effectsIn(from), origin: endOrigin(from) };
  const insts = s.record(root, () => lowerPhis(s, from, to));
  if (insts.length === 0) return target;
  const between = newBlock(s, from.cold || to.cold);
  between.insts = insts;
  between.end = { op: 'jump', target };
  return between;
}

/** Gives `to`'s phis the values they have when it is reached from `from`. */
function lowerPhis(s: Selection, from: Block, to: Block): void {
  const edge = to.predecessors.indexOf(from);
  const phis = to.values.filter((value) => value.operation.op === 'phi' && !s.facts.isDead(value));
  s.place(phis.map((phi) => [s.result(phi), phi.args[edge]!]));
}

/** Takes arguments and site registers from where they arrive. */
function enter({ lir, entry }: Selection): void {
  if (entry.size === 0) return;
  for (const register of entry.keys()) lir.arriving.add(register);
  const operands = [...entry.values(), ...entry.keys()].map(reg);
  lir.blocks[0]!.insts.unshift({ op: 'copy', size: 8, operands, origin: undefined });
}
