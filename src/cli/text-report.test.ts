import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BpfMap, JsonValue } from '../index.ts';
import type { Output } from './output.ts';
import { paletteFor } from './text.ts';
import { TextReport } from './text-report.ts';

/** What a map with these entries looks like. */
function mapText(
  entries: readonly (readonly [key: JsonValue, value: JsonValue])[],
  { typeName = 'hash', isDataSection = false, detail = 'usual' as 'usual' | 'full' } = {},
): string[] {
  const lines: string[] = [];
  const output = { line: (line: string) => lines.push(line) } as unknown as Output;
  const report = new TextReport({ output, palette: paletteFor({}, { color: false }), note: () => {}, detail });
  const map = { name: 'm', typeName, isDataSection, entries: () => entries.map(([key, value]) => ({ key, value })) };
  report.map(map as unknown as BpfMap);
  return lines.slice(1);
}

/** What it says beside data. */
function notesOf(tell: (report: TextReport) => void): string[] {
  const notes: string[] = [];
  const output = { line() {} } as unknown as Output;
  const note = (line: string): void => void notes.push(line);
  tell(new TextReport({ output, palette: paletteFor({}, { color: false }), note, detail: 'usual' }));
  return notes;
}

describe('TextReport', () => {
  for (const [why, actual, expected] of [
    ['says so of an empty map', mapText([]), ['m (hash)', '  (empty)']],
    [
      'sorts numbers by size',
      mapText([
        [10, 1],
        [9, 20],
        [100, 3],
      ]),
      ['m (hash)', '  key  value', '    9     20', '   10      1', '  100      3'],
    ],
    [
      'sorts large numbers, which are text, by size too',
      mapText([
        ['10000000000000000', 1],
        ['9007199254740993', 2],
      ]),
      ['m (hash)', '                key  value', '   9007199254740993      2', '  10000000000000000      1'],
    ],
    [
      'gives each field of a struct a column',
      mapText([
        [
          { pid: 7, comm: 'bash' },
          { hits: 3, at: [1, 2] },
        ],
      ]),
      ['m (hash)', '  key.pid  key.comm  value.hits  value.at', '        7  bash               3  [1,2]'],
    ],
    [
      'gives each frame of a trace a line',
      mapText([[17, ['leaf (chain)', 'step+0x9 (chain)']]], { typeName: 'stack_trace' }),
      ['m (stack_trace)', '  17: leaf (chain)', '      step+0x9 (chain)'],
    ],
    [
      'leaves out the zeros of an array',
      mapText(
        [
          [0, 0],
          [1, 5],
          [2, 0],
        ],
        { typeName: 'array' },
      ),
      ['m (array)', '  key  value', '    1      5', '  (2 more, all zero)'],
    ],
    [
      'says of an array of zeros how many there are',
      mapText([[0, 0]], { typeName: 'array' }),
      ['m (array)', '  (1 entry, zero)'],
    ],
    [
      'shows the zeros of an array under -v',
      mapText([[0, { a: 0 }]], { typeName: 'array', detail: 'full' }),
      ['m (array)', '  key  value.a', '    0        0'],
    ],
    [
      'gives each variable a line',
      mapText([[0, { total: 5, name: 'x' }]], { typeName: 'array', isDataSection: true }),
      ['m (array)', '  total = 5', '  name = x'],
    ],
    ['disarms what the target wrote', mapText([['\x1b[2J', 1]]), ['m (hash)', '  key      value', '  \\x1b[2J      1']],
  ] as const) {
    it(why, () => assert.deepEqual(actual, expected));
  }

  for (const [outcome, said] of [
    ['restored', 'its code is what it was'],
    ['ended', 'it has ended'],
    ['replaced', 'it runs another program now'],
    ['changed by others', 'others have changed its code, which was left as it is'],
  ] as const) {
    it(`says what became of a process: ${outcome}`, () => {
      const notes = notesOf((report) => report.detached({ pid: 42, links: 2, outcome }));
      assert.deepEqual(notes, [`detached 2 programs from 42: ${said}`]);
    });
  }

  it('says of a target how its session ends, and of children whose they are', () => {
    const notes = notesOf((report) => {
      report.attached(42, [], 1500);
      report.attached(43, [], 1500, 'child');
    }).filter((line) => line.startsWith('attached'));
    assert.deepEqual(notes, [
      'attached 0 programs to 42, which paused for 1.5 ms; Ctrl-C ends',
      'attached 0 programs to child 43, which paused for 1.5 ms',
    ]);
  });
});
