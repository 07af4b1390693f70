import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapSpec } from '../../tests/contract/map-operations.ts';
import { BASICS, btfBytes, type TypeBytes } from '../../tests/support/btf-bytes.ts';
import { objectFile } from '../../tests/support/objects.ts';
import { readBtf } from '../btf/btf.ts';
import { ringbuf } from '../maps/ringbuf.ts';
import { readObject } from '../object/read-object.ts';
import { recordTypes } from './record-types.ts';

/** Ids 5 and on: structs of so many bytes. */
const struct = (name: string, size: number): TypeBytes => ({ kind: 'struct', name, value: size });
const pointer = (value: number): TypeBytes => ({ kind: 'ptr', value });
const variable = (name: string, value: number): TypeBytes => ({ kind: 'var', name, value, words: [0] });

/** The name of the type of a record of `size` bytes. */
function nameOf(types: readonly TypeBytes[], size: number, valueTypeId = 0): string {
  const btf = readBtf(btfBytes([...BASICS, ...types]));
  const id = recordTypes(btf, mapSpec(ringbuf, { valueTypeId }))(size);
  if (id === 0) return 'unknown';
  const type = btf.resolve(id);
  return 'name' in type ? type.name : type.kind;
}

describe('the type of a record', () => {
  for (const [why, types, size, wanted, valueTypeId] of [
    ['what a variable points to', [struct('event', 16), pointer(5), variable('unused', 6)], 16, 'event', 0],
    ['what a variable is', [struct('event', 16), variable('zeros', 5)], 16, 'event', 0],
    ['unknown at another size', [struct('event', 16), variable('zeros', 5)], 24, 'unknown', 0],
    ['unknown if nobody names it', [struct('list_head', 16)], 16, 'unknown', 0],
    ['unknown if there are two', [struct('a', 8), struct('b', 8), variable('x', 5), variable('y', 6)], 8, 'unknown', 0],
    ['the event of two', [struct('a', 8), struct('my_event', 8), variable('x', 5), variable('y', 6)], 8, 'my_event', 0],
    ['no context', [struct('pt_regs', 168), pointer(5), variable('x', 6)], 168, 'unknown', 0],
    ['what the map says', [struct('said', 8), struct('event', 8), variable('x', 6)], 8, 'said', 5],
    ['what the map says, with more behind it', [struct('said', 8)], 12, 'said', 5],
    ['not what the map says if there is less of it', [struct('said', 8)], 4, 'unknown', 5],
    ['a number if the map says so', [], 8, 'unsigned long long', 2],
    ['not the number that stands for a descriptor', [struct('event', 8), variable('x', 5)], 8, 'event', 1],
  ] as const) {
    it(`is ${why}`, () => assert.equal(nameOf(types, size, valueTypeId), wanted));
  }

  it('is that of a key or value, and of a parameter, in a compiled object', () => {
    const { btf, maps } = readObject(objectFile('events'));
    const pairs = maps.find(({ name }) => name === 'pairs')!;
    const samples = maps.find(({ name }) => name === 'samples')!;
    const name = (id: number) => {
      const type = btf!.resolve(id);
      return 'name' in type ? type.name : type.kind;
    };
    assert.equal(name(recordTypes(btf, pairs)(8)), 'pair');
    assert.equal(name(recordTypes(btf, samples)(24)), 'event');
    assert.equal(name(recordTypes(btf, samples)(8)), 'pair');
    assert.equal(recordTypes(undefined, pairs)(8), 0);
  });
});
