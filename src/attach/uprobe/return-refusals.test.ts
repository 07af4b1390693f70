import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findStackCopier } from './return-refusals.ts';

const PYTHON = '/usr/lib/python3/dist-packages/greenlet';

describe('libraries that copy stacks', () => {
  for (const [path, copier] of [
    [`${PYTHON}/_greenlet.cpython-311-x86_64-linux-gnu.so`, 'greenlet'],
    ['/opt/venv/lib/greenlet.cpython-38-x86_64-linux-gnu.so', 'greenlet'],
    ['/usr/lib/x86_64-linux-gnu/ruby/3.1.0/continuation.so', "Ruby's callcc"],
    [`${PYTHON}/platform/other.so`, undefined],
    ['/usr/lib/libcontinuation.so', undefined],
    ['[heap]', undefined],
  ] as const) {
    it(`${copier ?? 'none'}: ${path}`, () => {
      assert.equal(findStackCopier([{ path: '/usr/bin/python3.11' }, { path }]), copier);
    });
  }
});
