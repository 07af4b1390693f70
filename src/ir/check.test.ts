/** The check of SSA form: what it lets pass, and every problem it finds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Builder } from './builder.ts';
import { findProblems } from './check.ts';
import { IrFunction } from './value.ts';

describe('the check of SSA form', () => {
  it('finds nothing wrong with a loop that the builder made', () => {
    const fn = Builder.function('sum', 1, (b, [n]) => {
      const zero = b.const(0);
      const [total] = b.loop([n!, zero], 1, (loop, [left, sum]) => {
        b.when(b.compare('eq', left!, 0), () => loop.leave(sum!));
        loop.next(b.sub(left!, 1), b.add(sum!, left!));
      });
      b.return(total!);
    });
    assert.deepEqual(findProblems(fn), []);
  });

  const refusals: readonly (readonly [what: string, problem: RegExp, build: (b: Builder) => void])[] = [
    ['a block without an end', /no terminator/, () => undefined],
    [
      'an operand that comes later',
      /does not dominate/,
      (b) => {
        const x = b.const(1);
        b.block.values.length = 0;
        const sum = b.add(x, 1);
        b.block.values.push(x);
        b.return(sum);
      },
    ],
    [
      'an operand from the other side of a branch',
      /does not dominate/,
      (b) => {
        const [then, otherwise] = [b.newBlock(), b.newBlock()];
        b.branch(b.const(1), then, otherwise);
        b.at(then);
        const x = b.const(1);
        b.return(x);
        b.at(otherwise);
        b.return(x);
      },
    ],
    [
      'a phi with too few operands',
      /has 0 operands, wants 1/,
      (b) => {
        const next = b.newBlock();
        b.jump(next);
        b.at(next);
        b.return(b.phi());
      },
    ],
    [
      'a phi behind other values',
      /stands behind/,
      (b) => {
        const next = b.newBlock();
        const x = b.const(1);
        b.jump(next);
        b.at(next);
        const y = b.const(2);
        const phi = b.phi();
        phi.args.push(x);
        next.values = [y, phi];
        b.return(phi);
      },
    ],
    [
      'an edge that only one side knows',
      /does not know/,
      (b) => {
        const next = b.newBlock();
        b.jump(next);
        next.predecessors = [];
        b.at(next);
        b.return(0);
      },
    ],
    [
      'a jump back to the entry',
      /entry has predecessors/,
      (b) => {
        b.jump(b.block);
      },
    ],
  ];
  for (const [what, problem, build] of refusals) {
    it(`finds ${what}`, () => {
      const b = new Builder(new IrFunction('broken', 0));
      build(b);
      assert.match(findProblems(b.fn).join('\n'), problem);
    });
  }
});
