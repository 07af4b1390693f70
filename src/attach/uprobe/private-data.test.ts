import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AttachError } from '../errors.ts';
import { parseUprobe } from './private-data.ts';

describe('parseUprobe', () => {
  for (const [text, binary, symbol, offset] of [
    ['libc.so.6:malloc', 'libc.so.6', 'malloc', 0],
    ['/usr/bin/bash:main', '/usr/bin/bash', 'main', 0],
    ['/odd:path/bin:f', '/odd:path/bin', 'f', 0],
    ['a:f+16', 'a', 'f', 16],
    ['a:f+0x1f', 'a', 'f', 31],
    ['a:_ZN3foo3barEv', 'a', '_ZN3foo3barEv', 0],
    ['libfoo.so:ns::f(int)', 'libfoo.so', 'ns::f(int)', 0],
    ['/odd:path/bin:ns::A<b::C>::f+4', '/odd:path/bin', 'ns::A<b::C>::f', 4],
    ['a:V::operator+', 'a', 'V::operator+', 0],
    ['a:V::operator++', 'a', 'V::operator++', 0],
    ['libc:*alloc*', 'libc', '*alloc*', 0],
  ] as const) {
    it(`reads ${text}`, () => {
      const at = parseUprobe(text);
      assert.deepEqual([at.binary, at.symbol, at.offset], [binary, symbol, offset]);
    });
  }

  for (const text of ['', 'malloc', 'aaa:', ':f', 'a:f+', 'a:f+x', 'a:f+1+2', 'a:+1']) {
    it(`refuses '${text}'`, () => {
      assert.throws(
        () => parseUprobe(text),
        (e) => e instanceof AttachError && e.code === 'ATTACH_BAD_TARGET',
      );
    });
  }

  it('prints what it reads', () => {
    for (const text of ['libc.so.6:malloc', 'a:f+31']) assert.equal(parseUprobe(text).toString(), text);
  });
});
