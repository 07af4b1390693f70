import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernelVersionOf, readKernel } from './kernel.ts';

describe('kernelVersionOf', () => {
  for (const [release, details, version] of [
    ['6.18.44-fc', '', [6, 18, 44]],
    ['6.1.0-18-amd64', '#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)', [6, 1, 76]],
    ['5.15', '', [5, 15, 0]],
    ['4.19.300', '', [4, 19, 255]],
    ['nonsense', '', [0, 0, 0]],
  ] as const) {
    it(`reads ${release}`, () => {
      const [a, b, c] = version;
      assert.equal(kernelVersionOf(release, details), (a << 16) + (b << 8) + c);
    });
  }
});

describe('readKernel', () => {
  it('tells the version of the running one, and settings where they can be read', () => {
    const { version, config } = readKernel();
    assert.ok(version >= 4 << 16);
    const text = config();
    assert.ok(text === undefined || /^CONFIG_\w+=/m.test(text));
  });
});
