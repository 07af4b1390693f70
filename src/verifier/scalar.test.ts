/** Soundness of the domain of numbers: whatever members two sets have, what they become lies in what was computed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { AluOperator, JumpCondition, Width } from '../insn/form.ts';
import { ANY, constantScalar, describeScalar, meet, type Scalar, scalarContains, unsignedRange } from './scalar.ts';
import { compute, signExtended, truncated } from './scalar-alu.ts';
import { branch } from './scalar-branch.ts';

const RUNS = Number(process.env.VERIFIER_RUNS ?? 300);

const u64 = (n: bigint): bigint => BigInt.asUintN(64, n);
const s64 = (n: bigint): bigint => BigInt.asIntN(64, n);

const unsigned = (bits: bigint): fc.Arbitrary<bigint> => fc.bigInt(0n, (1n << bits) - 1n);

/** Numbers near which mistakes live. */
const corner = fc.oneof(
  unsigned(64n),
  unsigned(33n),
  unsigned(5n),
  fc.tuple(fc.constantFrom(31n, 32n, 63n, 64n, 8n, 16n), fc.bigInt(-3n, 3n)).map(([bit, d]) => u64((1n << bit) + d)),
  fc.bigInt(-5n, 5n).map(u64),
);

/** A number and a set it is in: what is known comes from other members of the set. */
const member = fc
  .tuple(
    corner,
    corner,
    unsigned(64n),
    fc.subarray(['unsigned', 'signed', 'u32', 's32', 'bits', 'constant'], { minLength: 0 }),
  )
  .map(([number, other, mask, kinds]) => {
    const half = (n: bigint): number => Number(BigInt.asUintN(32, n));
    const order = <T extends bigint | number>(a: T, b: T): [T, T] => (a < b ? [a, b] : [b, a]);
    const [umin, umax] = order(number, other);
    const [smin, smax] = order(s64(number), s64(other));
    const [umin32, umax32] = order(half(number), half(other));
    const [smin32, smax32] = order(half(number) | 0, half(other) | 0);
    const facts: Readonly<Record<string, Partial<Scalar>>> = {
      unsigned: { umin, umax },
      signed: { smin, smax },
      u32: { umin32, umax32 },
      s32: { smin32, smax32 },
      bits: { bits: { value: number & ~mask, mask } },
      constant: kinds.length < 3 ? constantScalar(number) : {},
    };
    let set: Scalar | undefined = ANY;
    for (const kind of kinds) set = set && meet(set, { ...ANY, ...facts[kind] });
    return { number, set };
  });

const shiftMask = (width: Width): bigint => BigInt(width - 1);
const ALU: Readonly<Record<Exclude<AluOperator, 'mov'>, (a: bigint, b: bigint, width: Width) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  lsh: (a, b, w) => a << (b & shiftMask(w)),
  rsh: (a, b, w) => a >> (b & shiftMask(w)),
  arsh: (a, b, w) => BigInt.asIntN(w, a) >> (b & shiftMask(w)),
  div: (a, b) => (b === 0n ? 0n : a / b),
  mod: (a, b) => (b === 0n ? a : a % b),
  sdiv: (a, b, w) => (b === 0n ? 0n : BigInt.asIntN(w, a) / BigInt.asIntN(w, b)),
  smod: (a, b, w) => (b === 0n ? a : BigInt.asIntN(w, a) % BigInt.asIntN(w, b)),
};

const JUMP: Readonly<Record<JumpCondition, (a: bigint, b: bigint, width: Width) => boolean>> = {
  jeq: (a, b) => a === b,
  jne: (a, b) => a !== b,
  jlt: (a, b) => a < b,
  jle: (a, b) => a <= b,
  jgt: (a, b) => a > b,
  jge: (a, b) => a >= b,
  jset: (a, b) => (a & b) !== 0n,
  jslt: (a, b, w) => BigInt.asIntN(w, a) < BigInt.asIntN(w, b),
  jsle: (a, b, w) => BigInt.asIntN(w, a) <= BigInt.asIntN(w, b),
  jsgt: (a, b, w) => BigInt.asIntN(w, a) > BigInt.asIntN(w, b),
  jsge: (a, b, w) => BigInt.asIntN(w, a) >= BigInt.asIntN(w, b),
};

const holds = (set: Scalar | undefined, number: bigint): void =>
  assert.ok(set !== undefined && scalarContains(set, number), `${number} is not in ${set && describeScalar(set)}`);

describe('a set of numbers', () => {
  it('keeps its members when facts are joined', () => {
    fc.assert(
      fc.property(member, ({ number, set }) => holds(set, number)),
      { numRuns: RUNS },
    );
  });

  for (const width of [64, 32] as const) {
    for (const [operator, concrete] of Object.entries(ALU)) {
      it(`${operator} of ${width} bits gives what the numbers give`, () => {
        fc.assert(
          fc.property(member, member, (a, b) => {
            const result = BigInt.asUintN(
              width,
              concrete(BigInt.asUintN(width, a.number), BigInt.asUintN(width, b.number), width),
            );
            holds(compute(operator as keyof typeof ALU, width, a.set!, b.set!), result);
          }),
          { numRuns: RUNS },
        );
      });
    }

    for (const [condition, concrete] of Object.entries(JUMP)) {
      it(`${condition} of ${width} bits keeps what takes each way`, () => {
        fc.assert(
          fc.property(member, member, (a, b) => {
            const taken = concrete(BigInt.asUintN(width, a.number), BigInt.asUintN(width, b.number), width);
            const ways = branch(condition as JumpCondition, width, a.set!, b.set!);
            const way = taken ? ways.taken : ways.passed;
            holds(way?.[0], a.number);
            holds(way?.[1], b.number);
          }),
          { numRuns: RUNS },
        );
      });
    }
  }

  it('keeps its members when cut or extended', () => {
    fc.assert(
      fc.property(member, ({ number, set }) => {
        for (const size of [1, 2, 4, 8] as const) holds(truncated(set!, size), BigInt.asUintN(size * 8, number));
        for (const bits of [8, 16, 32] as const) {
          for (const width of [32, 64] as const) {
            holds(signExtended(set!, bits, width), BigInt.asUintN(width, BigInt.asIntN(bits, number)));
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  for (const [what, set, text] of [
    ['a number', constantScalar(-1n), '-1'],
    ['any', ANY, 'scalar()'],
    [
      'a byte',
      unsignedRange(0n, 255n),
      'scalar(smin=0,smax=255,umax=255,smin32=0,smax32=255,umax32=255,var_off=(0x0; 0xff))',
    ],
  ] as const) {
    it(`prints ${what}`, () => assert.equal(describeScalar(set), text));
  }
});
