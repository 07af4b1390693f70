import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Mapping } from '../sys/proc-maps.ts';
import { findGap, isInReach } from './gaps.ts';

const GIB = 1n << 30n;

function mapping(start: bigint, end: bigint, path = ''): Mapping {
  return { start, end, permissions: 'r-xp', offset: 0, device: '00:00', inode: 0n, path, deleted: false };
}

describe('findGap', () => {
  const near = 0x5555_0000_0000n;
  for (const [what, mappings, size, expected] of [
    ['right below the program, a page between', [mapping(near, near + 0x1000n)], 0x1000, near - 0x2000n],
    [
      'below the next mapping where there is no room',
      [mapping(near - 0x3000n, near - 0x1000n), mapping(near, near + 0x1000n)],
      0x1000,
      near - 0x5000n,
    ],
    [
      'in a gap that is just large enough',
      [mapping(near - 0x5000n, near - 0x3000n), mapping(near, near + 0x1000n)],
      0x1000,
      near - 0x2000n,
    ],
    [
      'as far above as can be reached where all below is taken, clear of the heap',
      [mapping(0x1000n, near + 0x1000n)],
      0x1000,
      near + 2n * GIB - 0x1_0000n - 0x1000n,
    ],
    ['nowhere if all in reach is taken', [mapping(near - 4n * GIB, near + 4n * GIB)], 0x1000, undefined],
    ['nowhere if it is too large', [mapping(near, near + 0x1000n)], 2 ** 33, undefined],
    ['above the first pages for a program linked low', [mapping(0x40_0000n, 0x50_0000n)], 0x1000, 0x3f_e000n],
  ] as const) {
    it(`finds a place ${what}`, () => {
      const at = what.endsWith('linked low') ? 0x40_0000n : near;
      assert.equal(findGap(mappings, at, size), expected);
    });
  }

  it('leaves room for a stack to grow', () => {
    const stack = 0x7ffd_0000_0000n;
    const place = findGap(
      [mapping(near, near + 0x1000n), mapping(stack, stack + 0x2_0000n, '[stack]')],
      stack,
      0x1000,
    )!;
    assert.ok(stack - place >= 128n * 1024n * 1024n);
  });

  it('never gives what is taken, or out of reach', () => {
    const pages = fc.array(fc.tuple(fc.nat(2 ** 20), fc.integer({ min: 1, max: 2 ** 19 })), { maxLength: 40 });
    fc.assert(
      fc.property(pages, fc.integer({ min: 1, max: 2 ** 30 }), fc.nat(2 ** 21), (gaps, size, at) => {
        let end = 0x1_0000n;
        const mappings = gaps.map(([free, length]) => {
          const start = end + BigInt(free) * 0x1000n;
          end = start + BigInt(length) * 0x1000n;
          return mapping(start, end);
        });
        const target = BigInt(at) * 0x1000n;
        const place = findGap(mappings, target, size);
        if (place === undefined) return;
        assert.ok(isInReach(target, place, size));
        assert.equal(place % 0x1000n, 0n);
        for (const { start, end } of mappings) assert.ok(place + BigInt(size) < start || place > end);
      }),
      { numRuns: 500 },
    );
  });
});
