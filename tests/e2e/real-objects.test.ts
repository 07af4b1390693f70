/**
 * Objects that people already have: what Debian's libbpf-tools carry within themselves, unchanged.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { verifyObject } from '../../src/index.ts';
import { embeddedObject } from '../support/embedded-object.ts';

/** Tools, and the programs of each. */
const TOOLS = {
  bashreadline: 1,
  execsnoop: 2,
  gethostlatency: 2,
  javagc: 4,
  mountsnoop: 4,
  opensnoop: 4,
  sigsnoop: 7,
  statsnoop: 10,
  syscount: 2,
} as const;

describe('objects of libbpf-tools', () => {
  for (const [tool, count] of Object.entries(TOOLS)) {
    it(`${tool} is linked, and each of its ${count} programs accepted`, () => {
      const verdicts = [...verifyObject(embeddedObject(`/usr/sbin/${tool}`))];
      assert.deepEqual(
        verdicts.map(({ error }) => error?.message),
        Array(count).fill(undefined),
      );
    });
  }
});
