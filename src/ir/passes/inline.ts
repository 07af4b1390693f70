/**
 * Puts functions where they are called: small ones, and those called from one place only, unless that place is rarely
 * reached. What a call costs is mostly what stands around it: registers moved, and what the caller cannot know.
 */
import { type Block, type IrFunction, type Operation, successors, type Value } from '../value.ts';
import { replaceUses } from './rewrite.ts';

/** Values, not counting constants and params, up to which a function is put everywhere it is called. */
const SMALL = 12;
/** And up to which it is put in the only place it is called from. */
const LARGE = 100;

/** How often each function is called in the text of all that `main` reaches. */
export function countCalls(main: IrFunction): ReadonlyMap<IrFunction, number> {
  const counts = new Map<IrFunction, number>();
  const visit = (fn: IrFunction) => {
    for (const { callee } of callsOf(fn)) {
      const count = counts.get(callee) ?? 0;
      counts.set(callee, count + 1);
      if (count === 0) visit(callee);
    }
  };
  visit(main);
  return counts;
}

/** The calls of a function that it makes itself. */
export function callsOf(fn: IrFunction): { call: Value; callee: IrFunction }[] {
  return fn.blocks.flatMap(({ values }) =>
    values.flatMap((call) => (call.operation.op === 'call' ? [{ call, callee: call.operation.callee }] : [])),
  );
}

/** Inlines what is worth it; the functions called are optimised already. */
export function inlineCalls(fn: IrFunction, counts: ReadonlyMap<IrFunction, number>): void {
  const replacements = new Map<Value, Value>();
  // Blocks that come from a callee are not looked at again: what it calls, it had reason to.
  for (let block of [...fn.blocks]) {
    if (block.cold) continue;
    for (const call of block.values.filter(({ operation }) => operation.op === 'call')) {
      const { callee } = call.operation as Extract<Operation, { op: 'call' }>;
      if (sizeOf(callee) <= (counts.get(callee) === 1 ? LARGE : SMALL)) {
        const { rest, result } = inlineCall(fn, block, call, callee);
        replacements.set(call, result);
        block = rest;
      }
    }
  }
  replaceUses(fn, replacements);
}

function sizeOf(fn: IrFunction): number {
  return fn.blocks.reduce(
    (size, { values }) => size + values.filter(({ operation: { op } }) => op !== 'const' && op !== 'param').length,
    0,
  );
}

/** Splits `block` at the call and puts a copy of the callee between; every return of it jumps to the rest. */
function inlineCall(fn: IrFunction, block: Block, call: Value, callee: IrFunction): { rest: Block; result: Value } {
  const rest = splitBehind(fn, block, call);
  const copies = copyBlocks(fn, call, callee);
  const entry = copies.get(callee.blocks[0]!)!;
  block.terminator = { op: 'jump', target: entry };
  entry.predecessors = [block];

  const result = fn.value({ op: 'phi' }, [], call.origin);
  for (const copy of copies.values()) {
    if (copy.terminator?.op !== 'return') continue;
    result.args.push(copy.terminator.value);
    copy.terminator = { op: 'jump', target: rest };
    rest.predecessors.push(copy);
  }
  rest.values.unshift(result);
  return { rest, result };
}

/** Moves what stands behind the call to a new block, and drops the call. */
function splitBehind(fn: IrFunction, block: Block, call: Value): Block {
  const rest = fn.block();
  const at = block.values.indexOf(call);
  rest.values = block.values.slice(at + 1);
  block.values = block.values.slice(0, at);
  rest.terminator = block.terminator;
  for (const successor of successors(rest)) {
    successor.predecessors[successor.predecessors.indexOf(block)] = rest;
  }
  return rest;
}

/** Copies a function's blocks into `fn`, with the call's arguments for its params. */
function copyBlocks(fn: IrFunction, call: Value, callee: IrFunction): ReadonlyMap<Block, Block> {
  const blocks = new Map<Block, Block>();
  const values = new Map<Value, Value>();
  for (const block of callee.blocks) {
    const copy = fn.block(block.cold ? 'cold' : 'hot');
    blocks.set(block, copy);
    for (const value of block.values) {
      const { operation } = value;
      if (operation.op === 'param') {
        values.set(value, call.args[operation.index]!);
      } else {
        // A helper's code belongs to the instruction that called it.
        const made = fn.value(operation, value.args, value.origin ?? call.origin);
        values.set(value, made);
        copy.values.push(made);
      }
    }
  }
  const valueFor = (value: Value) => values.get(value)!;
  const blockFor = (block: Block) => blocks.get(block)!;
  for (const [block, copy] of blocks) {
    copy.predecessors = block.predecessors.map(blockFor);
    for (const { args } of copy.values) for (const [index, arg] of args.entries()) args[index] = valueFor(arg);
    const { terminator } = block;
    if (terminator?.op === 'return') copy.terminator = { op: 'return', value: valueFor(terminator.value) };
    if (terminator?.op === 'jump') copy.terminator = { op: 'jump', target: blockFor(terminator.target) };
    if (terminator?.op === 'branch') {
      const [then, otherwise] = [blockFor(terminator.then), blockFor(terminator.otherwise)];
      copy.terminator = { op: 'branch', condition: valueFor(terminator.condition), then, otherwise };
    }
  }
  return blocks;
}
