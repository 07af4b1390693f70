/** Dominators and block order, on small graphs and on any. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Builder } from './builder.ts';
import { Dominators, reversePostorder } from './dominators.ts';
import { type Block, IrFunction, successors } from './value.ts';

/** A function whose block i jumps or branches to the blocks `targets[i]` names; block 0 is a separate entry. */
function graph(targets: readonly (readonly [number, number])[]): Block[] {
  const b = new Builder(new IrFunction('graph', 0));
  const blocks = [b.block, ...targets.map(() => b.newBlock())];
  b.jump(blocks[1]!);
  for (const [index, [first, second]] of targets.entries()) {
    b.at(blocks[index + 1]!);
    const then = blocks[first];
    const otherwise = blocks[second];
    if (then === undefined || then === blocks[0]) b.return(0);
    else if (otherwise === undefined || otherwise === blocks[0] || otherwise === then) b.jump(then);
    else b.branch(b.const(1), then, otherwise);
  }
  return b.fn.blocks;
}

function reachable(from: Block, without?: Block): Set<Block> {
  const seen = new Set<Block>();
  const open = from === without ? [] : [from];
  for (let block = open.pop(); block !== undefined; block = open.pop()) {
    if (seen.has(block) || block === without) continue;
    seen.add(block);
    open.push(...successors(block));
  }
  return seen;
}

const graphs = fc
  .integer({ min: 1, max: 12 })
  .chain((size) => fc.array(fc.tuple(fc.nat(size), fc.nat(size)), { minLength: size, maxLength: size }));

describe('dominators', () => {
  it('of a diamond: its head dominates all of it, its sides only themselves', () => {
    const blocks = graph([
      [2, 3],
      [4, 4],
      [4, 4],
      [0, 0],
    ]);
    const fn = new IrFunction('diamond', 0);
    fn.blocks = blocks;
    const dominators = new Dominators(fn);
    assert.equal(dominators.dominates(blocks[1]!, blocks[4]!), true);
    assert.equal(dominators.dominates(blocks[2]!, blocks[4]!), false);
  });

  it('are those that every path passes, in any graph', () => {
    fc.assert(
      fc.property(graphs, (targets) => {
        const fn = new IrFunction('random', 0);
        fn.blocks = graph(targets);
        const entry = fn.blocks[0]!;
        const dominators = new Dominators(fn);
        const reached = [...reachable(entry)];
        assert.deepEqual(new Set(dominators.preorder), new Set(reached));
        for (const a of reached) {
          const around = reachable(entry, a);
          for (const b of reached) assert.equal(dominators.dominates(a, b), !around.has(b));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('come in an order in which every block but a loop head follows all its predecessors', () => {
    const blocks = graph([
      [2, 3],
      [4, 4],
      [4, 4],
      [1, 5],
      [0, 0],
    ]);
    const fn = new IrFunction('loop', 0);
    fn.blocks = blocks;
    const place = new Map(reversePostorder(fn).map((block, index) => [block, index]));
    for (const block of blocks.slice(2)) {
      for (const predecessor of block.predecessors) assert.ok(place.get(predecessor)! < place.get(block)!);
    }
  });
});
