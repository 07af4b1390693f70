/** What the pure operations compute, at the edges. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluateBinary, evaluateCompare, evaluateUnary } from './arithmetic.ts';

const MAX = 2n ** 64n - 1n;

describe('arithmetic of the IR', () => {
  for (const [what, actual, expected] of [
    ['a 32-bit add wraps and clears the upper half', evaluateBinary('add', 32, MAX, 2n), 1n],
    ['a 64-bit add wraps', evaluateBinary('add', 64, MAX, 2n), 1n],
    ['a 32-bit shift counts modulo 32', evaluateBinary('shl', 32, 1n, 33n), 2n],
    ['a 64-bit shift counts modulo 64', evaluateBinary('shr', 64, 8n, 65n), 4n],
    ['a 32-bit sar keeps bit 31 and clears the upper half', evaluateBinary('sar', 32, 0x8000_0000n, 31n), 0xffff_ffffn],
    ['signed division truncates towards zero', evaluateBinary('sdiv', 64, MAX - 6n, 2n), MAX - 2n],
    ['a signed remainder has the sign of the dividend', evaluateBinary('smod', 64, MAX - 6n, 2n), MAX],
    ['division by zero is left open', evaluateBinary('udiv', 64, 1n, 0n), undefined],
    ['a 32-bit division sees only the low half of its divisor', evaluateBinary('udiv', 32, 1n, 1n << 32n), undefined],
    ['minimum / -1 is left open', evaluateBinary('sdiv', 32, 0x8000_0000n, MAX), undefined],
    ['sext8 at 32 bits clears the upper half', evaluateUnary('sext8', 32, 0x80n), 0xffff_ff80n],
    ['sext8 at 64 bits fills it', evaluateUnary('sext8', 64, 0x80n), MAX - 0x7fn],
    ['neg at 32 bits', evaluateUnary('neg', 32, 1n), 0xffff_ffffn],
    ['bswap16 clears what is above', evaluateUnary('bswap16', 64, 0xaabb_ccddn), 0xddccn],
    ['bswap64 turns all', evaluateUnary('bswap64', 64, 0x0102_0304_0506_0708n), 0x0807_0605_0403_0201n],
    ['slt is signed at its width', evaluateCompare('slt', 32, 0xffff_ffffn, 0n), true],
    ['ult is not', evaluateCompare('ult', 32, 0xffff_ffffn, 0n), false],
    ['test looks for a common bit', evaluateCompare('test', 64, 6n, 4n), true],
    ['ntest at 32 bits ignores the upper half', evaluateCompare('ntest', 32, 1n << 32n, 1n << 32n), true],
  ] as const) {
    it(what, () => assert.equal(actual, expected));
  }
});
