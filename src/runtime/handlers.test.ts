import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BpfError } from '../errors.ts';
import { RuntimeError } from './errors.ts';
import { type Handler, HandlerTable } from './handlers.ts';

const UNCOUNTED = { counter: 0, hitsBefore: 0n, missedBefore: 0n };
const PLACES = { hits: 8192, missed: 64, btf: 128, btfSize: 32 };
const HANDLERS: readonly Handler[] = [
  { kind: 'program', name: 'on_malloc', section: 'uprobe/libc.so.6:malloc', insnCount: 12 },
  {
    kind: 'map',
    name: 'counts',
    type: 1,
    keySize: 8,
    valueSize: 8,
    maxEntries: 64,
    flags: 0,
    keyTypeId: 1,
    valueTypeId: 2,
    offset: 4096,
    size: 8192,
  },
  { kind: 'perf event', attachType: 6, privateData: 'libc.so.6:malloc', cookie: 0xdead_beef_dead_beefn },
  { kind: 'link', program: 0, perfEvent: 2, entryId: 0, address: 0n, ...UNCOUNTED },
];
const TEXTS = ['on_malloc', 'uprobe/libc.so.6:malloc', 'counts', 'libc.so.6:malloc'];

function filledTable(): { bytes: Uint8Array; table: HandlerTable } {
  const bytes = new Uint8Array(HandlerTable.size(HANDLERS.length, TEXTS));
  const table = HandlerTable.create(bytes, HANDLERS.length, PLACES);
  for (const handler of HANDLERS) table.add(handler);
  return { bytes, table };
}

const codeOf = (body: () => unknown): string | undefined => {
  try {
    body();
  } catch (error) {
    if (error instanceof RuntimeError) return error.code;
    throw error;
  }
  return undefined;
};

describe('HandlerTable', () => {
  it('gives back what it was given, slot by slot', () => {
    const { table } = filledTable();
    assert.deepEqual(
      [...table.handlers()],
      HANDLERS.map((handler, slot) => [slot, handler]),
    );
  });

  it('is read by whoever opens the same bytes', () => {
    const { bytes } = filledTable();
    const opened = HandlerTable.open(bytes);
    assert.deepEqual(opened.places, PLACES);
    assert.deepEqual(opened.get(1), HANDLERS[1]);
  });

  it('notes the entry of a live link', () => {
    const { table } = filledTable();
    table.setEntry(3, 7, 0x7f00_0000_1000n);
    assert.deepEqual(table.get(3), { ...HANDLERS[3], entryId: 7, address: 0x7f00_0000_1000n });
  });

  it('fills a freed slot again', () => {
    const { table } = filledTable();
    table.remove(3);
    assert.equal(table.get(3), undefined);
    assert.equal(table.add(HANDLERS[3]!), 3);
  });

  it('refuses one handler too many, and a text that does not fit', () => {
    assert.equal(
      codeOf(() => filledTable().table.add(HANDLERS[3]!)),
      'RUNTIME_TABLE_FULL',
    );
    const table = HandlerTable.create(new Uint8Array(128), 1, PLACES);
    assert.equal(
      codeOf(() => table.add(HANDLERS[0]!)),
      'RUNTIME_TABLE_FULL',
    );
  });

  for (const [why, offset, value] of [
    ['no magic', 0, 0],
    ['another version', 8, 99],
    ['a slot count that does not fit', 12, 1000],
    ['texts that do not fit', 20, 0xffff_ffff],
  ] as const) {
    it(`is not opened with ${why}`, () => {
      const { bytes } = filledTable();
      new DataView(bytes.buffer).setUint32(offset, value, true);
      assert.equal(
        codeOf(() => HandlerTable.open(bytes)),
        'RUNTIME_BAD_TABLE',
      );
    });
  }

  it('bounds whatever the target writes: a handler or an error', () => {
    const { bytes } = filledTable();
    const scribble = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 40 });
    fc.assert(
      fc.property(scribble, (writes) => {
        const { bytes: memory, table } = filledTable();
        for (const [at, byte] of writes) memory[at] = byte;
        try {
          for (const [, handler] of table.handlers()) assert.ok(handler.kind);
        } catch (error) {
          assert.ok(error instanceof BpfError, String(error));
        }
      }),
    );
  });
});
