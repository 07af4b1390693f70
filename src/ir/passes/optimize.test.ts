/** The passes together: control, and stack memory that becomes values. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, regions } from '../../../tests/support/ir-evaluator.ts';
import { Builder } from '../builder.ts';
import { findProblems } from '../check.ts';
import { printFunction } from '../print.ts';
import type { IrFunction, Value } from '../value.ts';
import { optimize } from './optimize.ts';

/** The optimised function as text, without its first line. */
function optimized(fn: IrFunction): string {
  optimize(fn);
  assert.deepEqual(findProblems(fn), []);
  return printFunction(fn).split('\n').slice(1).join('\n');
}

describe('control', () => {
  it('is one branch for a bounds check followed by a test for null', () => {
    const fn = Builder.function('count', 1, (b, [index]) => {
      const found = b.choose(
        b.compare('ult', index!, 4),
        () => b.add(b.mul(index!, 8), 0x1000),
        () => 0,
      );
      b.when(b.compare('ne', found, 0), () => b.store(8, found, 0, 1));
      b.return(0);
    });
    assert.equal(
      optimized(fn),
      `b0:
  v0 = param 0
  v1 = ult v0, 4
  branch v1 ? b1 : b2
b1: from b0
  v2 = shl v0, 3
  store8 [v2 + 4096], 1
  jump b2
b2: from b1, b0
  return 0
`,
    );
  });

  it('keeps a value apart that a join gave one of two values to', () => {
    const fn = Builder.function('pick', 2, (b, [x, y]) => {
      const picked = b.choose(
        x!,
        () => b.load(8, y!),
        () => 0,
      );
      b.when(b.compare('eq', picked, 0), () => b.return(b.add(picked, 5)));
      b.return(b.add(picked, 1));
    });
    const memory = new Uint8Array([41, 0, 0, 0, 0, 0, 0, 0]);
    const world = { memory: regions({ address: 0x1000n, bytes: memory }) };
    optimize(fn);
    assert.deepEqual(findProblems(fn), []);
    assert.equal(evaluate(fn, { ...world, args: [1n, 0x1000n] }), 42n);
    assert.equal(evaluate(fn, { ...world, args: [0n, 0x1000n] }), 5n);
  });

  it('leaves a loop a loop', () => {
    const fn = Builder.function('sum', 1, (b, [n]) => {
      const zero = b.const(0);
      const [total] = b.loop([n!, zero], 1, (loop, [left, sum]) => {
        b.when(b.compare('eq', left!, 0), () => loop.leave(sum!));
        loop.next(b.sub(left!, 1), b.add(sum!, left!));
      });
      b.return(total!);
    });
    optimize(fn);
    assert.deepEqual(findProblems(fn), []);
    assert.equal(evaluate(fn, { args: [10n] }), 55n);
  });
});

describe('stack memory', () => {
  const rows: readonly (readonly [what: string, body: (b: Builder, x: Value) => Value, left: string])[] = [
    [
      'that is stored and loaded is a value',
      (b, x) => {
        const key = b.stack(8);
        b.store(4, key, 4, x);
        return b.load(4, key, 4);
      },
      'v1 = zext32 v0\n  return v1',
    ],
    [
      'is cut where accesses do not straddle',
      (b, x) => {
        const frame = b.stack(16);
        b.store(8, frame, 0, x);
        b.store(8, frame, 8, 1);
        return b.add(b.load(8, frame, 0), b.load(8, frame, 8));
      },
      'v1 = add v0, 1\n  return v1',
    ],
    [
      'gives a part of what was stored',
      (b, x) => {
        const frame = b.stack(8);
        b.store(8, frame, 0, x);
        return b.load(2, frame, 4);
      },
      'v1 = shr v0, 32\n  v2 = zext16 v1\n  return v2',
    ],
    [
      'takes a part of a value',
      (b, x) => {
        const frame = b.stack(8);
        b.store(4, frame, 0, x);
        b.store(1, frame, 1, 0);
        return b.load(4, frame, 0);
      },
      'v1 = and.32 v0, 0xffff00ff\n  return v1',
    ],
    [
      'that nobody loads is not stored',
      (b, x) => {
        b.store(8, b.stack(8), 0, x);
        return b.const(0);
      },
      'return 0',
    ],
    [
      'is kept only as far as a bounded pointer reaches, wherever that goes',
      (b, x) => {
        const frame = b.stack(16);
        b.store(8, frame, 0, x);
        b.store(8, frame, 8, x);
        const last = b.bounded(b.add(frame, 8), 8);
        b.store(1, b.add(last, b.and(x, 7)), 0, 1);
        return b.load(8, frame, 0);
      },
      'v0 = stack 8\n  v1 = param 0\n  store8 [v0], v1\n  v2 = and.32 v1, 7\n  v3 = add v0, v2\n  store1 [v3], 1\n  return v1',
    ],
    [
      'stays where its address gets out',
      (b, x) => {
        const frame = b.stack(16);
        b.store(8, frame, 0, x);
        b.store(8, frame, 8, x);
        b.syscall(1, [b.add(frame, 8)]);
        return b.load(8, frame, 0);
      },
      'v0 = stack 8\n  v1 = param 0\n  store8 [v0], v1\n  v2 = syscall 1 v0\n  return v1',
    ],
  ];
  for (const [what, body, left] of rows) {
    it(what, () => {
      const fn = Builder.function('f', 1, (b, [x]) => b.return(body(b, x!)));
      assert.ok(optimized(fn).endsWith(`${left}\n`), printFunction(fn));
    });
  }

  it('goes only as far into a call as the callee looks', () => {
    const callee = Builder.function('reads', 1, (b, [key]) => {
      const [last] = b.loop([b.const(0)], 1, (loop, [sum]) => {
        const next = b.add(sum!, b.load(4, key!, 4));
        b.when(b.compare('ugt', next, 1000), () => loop.leave(next));
        loop.next(next);
      });
      b.return(last!);
    });
    const fn = Builder.function('f', 1, (b, [x]) => {
      const frame = b.stack(64);
      b.store(8, frame, 0, x!);
      b.store(4, frame, 60, x!);
      b.when(x!, () => b.return(b.add(b.call(callee, [b.add(frame, 56)]), b.load(8, frame, 0))), 'cold');
      b.return(0);
    });
    assert.equal(
      optimized(fn),
      `b0:
  v0 = stack 8
  v1 = param 0
  store4 [v0 + 4], v1
  branch v1 ? b1 : b2
b1: cold from b0
  v2 = call reads v0
  v3 = add v2, v1
  return v3
b2: from b0
  return 0
`,
    );
  });
});
