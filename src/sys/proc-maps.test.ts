import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { executableLines, mappingAt, parseMaps, readMaps } from './proc-maps.ts';

const TEXT = `00400000-00401000 r-xp 00001000 fe:00 42                                 /usr/bin/two words
00601000-00602000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r--s 00000000 00:01 9007199254740993           /memfd:x (deleted)
7f0000002000-7f0000003000 r-xp 00000000 fe:00 7                          /tmp/line\\012break
7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

describe('executableLines', () => {
  it('keeps what is executable, and nothing else', () => {
    const lines = TEXT.split('\n');
    assert.equal(executableLines(TEXT), [lines[0], lines[3], lines[5]].join('\n'));
  });

  it('is empty for a process that has ended', () => assert.equal(executableLines(''), ''));
});

describe('parseMaps', () => {
  it('reads every part of a line', () => {
    assert.deepEqual(parseMaps(TEXT)[0], {
      start: 0x40_0000n,
      end: 0x40_1000n,
      permissions: 'r-xp',
      offset: 0x1000,
      device: 'fe:00',
      inode: 42n,
      path: '/usr/bin/two words',
      deleted: false,
    });
  });

  for (const [what, index, expected] of [
    ['memory without a name', 1, { path: '', inode: 0n, deleted: false }],
    ['a deleted file, and an inode above 2^53', 2, { path: '/memfd:x', inode: 9007199254740993n, deleted: true }],
    ['a line break in a path', 3, { path: '/tmp/line\nbreak' }],
    ['a special mapping', 4, { path: '[stack]', deleted: false }],
    ['the end of the address space', 5, { end: 0xffff_ffff_ff60_1000n }],
  ] as const) {
    it(`reads ${what}`, () => {
      const mapping = parseMaps(TEXT)[index]!;
      assert.deepEqual({ ...mapping, ...expected }, mapping);
    });
  }

  it('drops a line that overlaps the one before it: the file changed while it was read', () => {
    const text = '1000-3000 r-xp 0 00:00 0\n2000-4000 rw-p 0 00:00 0\n4000-5000 r--p 0 00:00 0\n';
    assert.deepEqual(
      parseMaps(text).map(({ start }) => start),
      [0x1000n, 0x4000n],
    );
  });

  it('passes over what is not a mapping', () => assert.deepEqual(parseMaps('\nnonsense\n1000-2000\n'), []));

  it('reads 64,000 lines', () => {
    const lines = Array.from({ length: 64_000 }, (_, i) => {
      const at = (i + 1) * 0x2000;
      return `${at.toString(16)}-${(at + 0x1000).toString(16)} rw-p 00000000 00:00 0 `;
    });
    assert.equal(parseMaps(lines.join('\n')).length, 64_000);
  });

  it('reads those of a real process', () => {
    const mappings = readMaps(process.pid);
    assert.ok(mappings.some(({ path }) => path === '[stack]'));
    assert.ok(mappings.some(({ permissions, path }) => permissions === 'r-xp' && path.endsWith('/node')));
  });
});

describe('mappingAt', () => {
  const mappings = parseMaps(TEXT);
  for (const [address, expected] of [
    [0x3f_ffffn, undefined],
    [0x40_0000n, 0],
    [0x40_0fffn, 0],
    [0x40_1000n, undefined],
    [0x7f00_0000_2800n, 3],
    [0xffff_ffff_ffff_ffffn, undefined],
  ] as const) {
    it(`finds ${expected === undefined ? 'nothing' : `mapping ${expected}`} at 0x${address.toString(16)}`, () => {
      assert.equal(mappingAt(mappings, address), expected === undefined ? undefined : mappings[expected]);
    });
  }
});
