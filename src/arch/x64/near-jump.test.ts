import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../bytes/hex.ts';
import { nearJump, nearJumpTarget } from './near-jump.ts';

const CASES: readonly (readonly [from: bigint, to: bigint, bytes: string])[] = [
  [0x1000n, 0x1005n, 'e900000000'],
  [0x1000n, 0x1000n, 'e9fbffffff'],
  [0x7fff_0000_1000n, 0x7fff_7000_1005n, 'e900000070'],
];

describe('a near jump', () => {
  for (const [from, to, bytes] of CASES) {
    it(`from ${from.toString(16)} to ${to.toString(16)} is ${bytes}`, () => {
      assert.equal(toHex(nearJump(from, to)), bytes);
    });
  }

  it('leads where it was meant to', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 46n), fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), (at, distance) => {
        const to = at + BigInt(distance);
        assert.equal(nearJumpTarget(at, nearJump(at, to)), to);
      }),
    );
  });

  it('is nothing else', () => {
    for (const bytes of ['', 'e9', 'e9000000', 'e800000000', 'eb00000000', 'e90000000000']) {
      assert.equal(nearJumpTarget(0n, Uint8Array.from(Buffer.from(bytes, 'hex'))), undefined, bytes);
    }
  });
});
