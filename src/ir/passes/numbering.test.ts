/** Value numbering: what is left of an expression, rule by rule. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Builder } from '../builder.ts';
import { printFunction } from '../print.ts';
import type { Value } from '../value.ts';
import { removeDeadCode } from './dead-code.ts';
import { numberValues } from './numbering.ts';

type Expression = (b: Builder, x: Value, y: Value) => Value;

/** What is left of an expression over two params, without the lines that are always there. */
function simplified(expression: Expression): string {
  const fn = Builder.function('f', 2, (b, [x, y]) => b.return(expression(b, x!, y!)));
  numberValues(fn);
  numberValues(fn);
  removeDeadCode(fn);
  return printFunction(fn)
    .split('\n')
    .slice(2)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('; ');
}

const X = 'v0 = param 0; ';
const XY = `${X}v1 = param 1; `;
const u64 = (value: bigint) => BigInt.asUintN(64, value);

const rows: readonly (readonly [what: string, expression: Expression, left: string])[] = [
  ['2 + 3 is 5', (b) => b.add(b.const(2), 3), 'return 5'],
  ['x + 0 is x', (b, x) => b.add(x, 0), `${X}return v0`],
  ['a 32-bit x + 0 still clears the upper half', (b, x) => b.binary('add', x, 0, 32), `${X}v1 = zext32 v0; return v1`],
  ['(x + 3) + 4 is x + 7', (b, x) => b.add(b.add(x, 3), 4), `${X}v1 = add v0, 7; return v1`],
  ['x - 5 is x + -5', (b, x) => b.sub(x, 5), `${X}v1 = add v0, -5; return v1`],
  ['x - x is 0', (b, x) => b.sub(x, x), 'return 0'],
  ['0 - x is -x', (b, x) => b.sub(b.const(0), x), `${X}v1 = neg v0; return v1`],
  ['3 + x is x + 3', (b, x) => b.add(b.const(3), x), `${X}v1 = add v0, 3; return v1`],
  ['x * 8 is a shift', (b, x) => b.mul(x, 8), `${X}v1 = shl v0, 3; return v1`],
  ['x / 16 is a shift', (b, x) => b.binary('udiv', x, 16), `${X}v1 = shr v0, 4; return v1`],
  ['x % 16 is a mask', (b, x) => b.binary('umod', x, 16), `${X}v1 = and.32 v0, 15; return v1`],
  ['x & 0xff is an extension', (b, x) => b.and(x, 0xff), `${X}v1 = zext8 v0; return v1`],
  ['a mask over a loaded byte is nothing', (b, x) => b.and(b.load(1, x), 0xff), `${X}v1 = load1 [v0]; return v1`],
  ['bits that are not there need no mask', (b, x) => b.and(b.load(1, x), 0x100), 'return 0'],
  ['a shift counts modulo its width', (b, x) => b.shl(x, 64 + 3), `${X}v1 = shl v0, 3; return v1`],
  ['x << 32 >> 32 is how v1 code zero-extends', (b, x) => b.shr(b.shl(x, 32), 32), `${X}v1 = zext32 v0; return v1`],
  [
    'x << 56 s>> 56 is how it sign-extends',
    (b, x) => b.binary('sar', b.shl(x, 56), 56),
    `${X}v1 = sext8 v0; return v1`,
  ],
  [
    'a 64-bit sum of which only the low half is wanted is a 32-bit one',
    (b, x, y) => b.unary('zext32', b.add(x, y)),
    `${XY}v2 = add.32 v0, v1; return v2`,
  ],
  [
    'a 32-bit operation does not care for the upper half',
    (b, x, y) => b.binary('xor', b.unary('zext32', x), b.unary('sext32', y), 32),
    `${XY}v2 = xor.32 v0, v1; return v2`,
  ],
  [
    'a 32-bit result is zero-extended already',
    (b, x, y) => b.unary('zext32', b.binary('add', x, y, 32)),
    `${XY}v2 = add.32 v0, v1; return v2`,
  ],
  ['zext16 of zext8 is zext8', (b, x) => b.unary('zext16', b.unary('zext8', x)), `${X}v1 = zext8 v0; return v1`],
  ['sext8 reads only 8 bits', (b, x) => b.unary('sext8', b.and(x, 0xfff)), `${X}v1 = sext8 v0; return v1`],
  ['bswap64 twice is nothing', (b, x) => b.unary('bswap64', b.unary('bswap64', x)), `${X}return v0`],
  ['a byte is below 256', (b, x) => b.compare('ult', b.load(1, x), 256), 'return 1'],
  ['x == x', (b, x) => b.compare('sle', x, x), 'return 1'],
  ['!(x < y) is x >= y', (b, x, y) => b.compare('eq', b.compare('ult', x, y), 0), `${XY}v2 = uge v0, v1; return v2`],
  ['5 > x is x < 5', (b, x) => b.compare('ugt', b.const(5), x), `${X}v1 = ult v0, 5; return v1`],
  ['(x & y) == 0 is one test', (b, x, y) => b.compare('eq', b.and(x, y), 0), `${XY}v2 = ntest v0, v1; return v2`],
  ['x + 3 == 10 is x == 7', (b, x) => b.compare('eq', b.add(x, 3), 10), `${X}v1 = eq v0, 7; return v1`],
  [
    'a select on x != 0 is one on x',
    (b, x, y) => b.select(b.compare('ne', x, 0), y, 1),
    `${XY}v2 = select v0, v1, 1; return v2`,
  ],
  ['a select between equals is neither', (b, x, y) => b.select(x, y, y), 'v0 = param 1; return v0'],
  ['a stack is never at zero', (b) => b.compare('eq', b.add(b.stack(8), 8), 0), 'return 0'],
  [
    'a base plus an index of 32 bits is never zero',
    (b, x) => b.compare('eq', b.add(b.shl(b.load(4, x), 3), 0x7f00_0000_0000n), 0),
    'return 0',
  ],
  [
    'an address takes its offset along',
    (b, x) => b.load(8, b.add(x, u64(-8n)), 16),
    `${X}v1 = load8 [v0 + 8]; return v1`,
  ],
  ['a product is computed once', (b, x, y) => b.sub(b.mul(x, y), b.mul(y, x)), 'return 0'],
  [
    'two loads are two loads',
    (b, x) => b.sub(b.load(8, x), b.load(8, x)),
    `${X}v1 = load8 [v0]; v2 = load8 [v0]; v3 = sub v1, v2; return v3`,
  ],
];

describe('value numbering', () => {
  for (const [what, expression, left] of rows) it(what, () => assert.equal(simplified(expression), left));

  it('stores no more of a value than fits', () => {
    const fn = Builder.function('f', 2, (b, [x, y]) => {
      b.store(2, x!, 0, b.unary('zext16', y!));
      b.return(0);
    });
    numberValues(fn);
    removeDeadCode(fn);
    assert.match(printFunction(fn), /store2 \[v0\], v1/);
  });

  it('knows below a branch what it asked', () => {
    const fn = Builder.function('f', 1, (b, [x]) => {
      b.when(b.compare('ugt', x!, 9), () => b.return(b.compare('ule', x!, 9)));
      b.return(b.compare('ult', x!, 100));
    });
    numberValues(fn);
    assert.match(printFunction(fn), /b1: from b0\n {2}return 0\nb2: from b0\n {2}return 1/);
  });

  it('takes the number in place of the value where a branch said they are equal', () => {
    const fn = Builder.function('f', 1, (b, [x]) => {
      b.when(b.compare('ne', x!, 7), () => b.return(x!));
      b.return(b.add(x!, 1));
    });
    numberValues(fn);
    assert.match(printFunction(fn), /b1: from b0\n {2}return v0\nb2: from b0\n {2}return 8/);
  });
});
