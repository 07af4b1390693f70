import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { count, paletteFor, printable, table } from './text.ts';

describe('printable', () => {
  for (const [why, text, expected] of [
    ['leaves plain text', 'redis-server', 'redis-server'],
    ['leaves other scripts', 'größe 大小 🐟', 'größe 大小 🐟'],
    ['disarms an escape sequence', '\x1b[2J', '\\x1b[2J'],
    ['disarms the one-byte form of it', '\x9b2J', '\\x9b2J'],
    ['shows line ends', 'a\r\nb', 'a\\x0d\\x0ab'],
    ['shows NUL and DEL', '\0\x7f', '\\x00\\x7f'],
    ['shows what would reverse the line', '\u202egnp.exe', '\\u202egnp.exe'],
  ] as const) {
    it(why, () => assert.equal(printable(text), expected));
  }

  it('lets no control character through', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !/\p{Cc}/u.test(printable(text))));
  });
});

describe('table', () => {
  it('aligns cells under their titles', () => {
    const columns = [
      { title: 'program', align: 'left' },
      { title: 'hits', align: 'right' },
    ] as const;
    assert.deepEqual(
      table(columns, [
        ['on_malloc', '12'],
        ['f', '10000'],
      ]),
      ['program     hits', 'on_malloc     12', 'f          10000'],
    );
  });

  it('leaves no blanks at the end of a line', () => {
    assert.deepEqual(table([{ title: 'long title', align: 'left' }], [['x']]), ['long title', 'x']);
  });
});

describe('paletteFor', () => {
  it('has no colour where the stream is no terminal', () => {
    assert.equal(paletteFor({ isTTY: false }, { color: true }).red('x'), 'x');
  });

  it('has no colour after --no-color', () => {
    assert.equal(paletteFor({ isTTY: true }, { color: false }).red('x'), 'x');
  });

  it('has no colour under NO_COLOR', () => {
    const before = process.env.NO_COLOR;
    process.env.NO_COLOR = '1';
    try {
      assert.equal(paletteFor({ isTTY: true }, { color: true }).red('x'), 'x');
    } finally {
      if (before === undefined) delete process.env.NO_COLOR;
      else process.env.NO_COLOR = before;
    }
  });
});

describe('count', () => {
  it('knows singular and plural', () => {
    assert.equal(count(1, 'thread'), '1 thread');
    assert.equal(count(0, 'thread'), '0 threads');
  });
});
