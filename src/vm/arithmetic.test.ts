import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AluOperator, JumpCondition, Width } from '../insn/form.ts';
import { ALU_32, ALU_64, comparison, swapBytes } from './arithmetic.ts';

const MIN_32 = 0x8000_0000;
const MINUS_1_32 = 0xffff_ffff;
const MIN_64 = 1n << 63n;
const MINUS_1_64 = (1n << 64n) - 1n;

describe('64-bit arithmetic', () => {
  for (const [operator, a, b, result] of [
    ['add', MINUS_1_64, 2n, 1n],
    ['sub', 0n, 1n, MINUS_1_64],
    ['mul', MINUS_1_64, MINUS_1_64, 1n],
    ['div', MINUS_1_64, 2n, MIN_64 - 1n],
    ['div', 7n, 0n, 0n],
    ['mod', 7n, 0n, 7n],
    ['sdiv', BigInt.asUintN(64, -7n), 2n, BigInt.asUintN(64, -3n)],
    ['sdiv', MIN_64, MINUS_1_64, MIN_64],
    ['sdiv', 7n, 0n, 0n],
    ['smod', BigInt.asUintN(64, -7n), 2n, MINUS_1_64],
    ['smod', MIN_64, MINUS_1_64, 0n],
    ['smod', 7n, 0n, 7n],
    ['lsh', 1n, 65n, 2n],
    ['rsh', MIN_64, 127n, 1n],
    ['arsh', MIN_64, 63n, MINUS_1_64],
    ['mov', 1n, 2n, 2n],
  ] satisfies [AluOperator, bigint, bigint, bigint][]) {
    it(`${operator} of ${a} and ${b} is ${result}`, () => assert.equal(ALU_64[operator](a, b), result));
  }
});

describe('32-bit arithmetic', () => {
  for (const [operator, a, b, result] of [
    ['add', MINUS_1_32, 2, 1],
    ['sub', 0, 1, MINUS_1_32],
    ['mul', MINUS_1_32, MINUS_1_32, 1],
    ['mul', 0x1_0001, 0x1_0001, 0x2_0001],
    ['div', MINUS_1_32, 2, 0x7fff_ffff],
    ['div', 7, 0, 0],
    ['mod', MINUS_1_32, 10, 5],
    ['mod', 7, 0, 7],
    ['sdiv', -7 >>> 0, 2, -3 >>> 0],
    ['sdiv', MIN_32, MINUS_1_32, MIN_32],
    ['sdiv', 7, 0, 0],
    ['smod', -7 >>> 0, 2, MINUS_1_32],
    ['smod', MIN_32, MINUS_1_32, 0],
    ['smod', 7, 0, 7],
    ['lsh', 1, 33, 2],
    ['rsh', MIN_32, 63, 1],
    ['arsh', MIN_32, 31, MINUS_1_32],
    ['mov', 1, 2, 2],
  ] satisfies [AluOperator, number, number, number][]) {
    it(`${operator} of ${a} and ${b} is ${result}`, () => assert.equal(ALU_32[operator](a, b) >>> 0, result));
  }
});

describe('comparison', () => {
  for (const [condition, width, a, b, holds] of [
    ['jgt', 64, MINUS_1_64, 0n, true],
    ['jsgt', 64, MINUS_1_64, 0n, false],
    ['jslt', 32, 0xffff_ffffn, 0n, true],
    ['jslt', 64, 0xffff_ffffn, 0n, false],
    ['jeq', 32, 1n << 32n, 0n, true],
    ['jne', 64, 1n << 32n, 0n, true],
    ['jset', 32, 1n << 32n, 1n << 32n, false],
    ['jset', 64, 6n, 3n, true],
    ['jle', 64, 3n, 3n, true],
    ['jsge', 32, 0x8000_0000n, 0x7fff_ffffn, false],
  ] satisfies [JumpCondition, Width, bigint, bigint, boolean][]) {
    it(`${condition} of ${a} and ${b} in ${width} bits is ${holds}`, () => {
      assert.equal(comparison(condition, width)(a, b), holds);
    });
  }
});

describe('swapBytes', () => {
  for (const [bits, result] of [
    [16, 0x8877n],
    [32, 0x8877_6655n],
    [64, 0x8877_6655_4433_2211n],
  ] as const) {
    it(`of the low ${bits} bits`, () => assert.equal(swapBytes(0x1122_3344_5566_7788n, bits), result));
  }
});
