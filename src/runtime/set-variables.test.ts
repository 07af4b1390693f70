import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPILERS, objectFile } from '../../tests/support/objects.ts';
import { decodeValue } from '../btf/decode-value.ts';
import { readObject } from '../object/read-object.ts';
import { setVariables, type VariableValue } from './set-variables.ts';

for (const compiler of COMPILERS) {
  describe(`variables of an object of ${compiler}`, () => {
    const object = readObject(objectFile('data', compiler));
    const set = (name: string, value: VariableValue) => setVariables(object, new Map([[name, value]]));
    const readValue = (section: string, name: string, maps = object.maps): unknown => {
      const map = maps.find((one) => one.name === section)!;
      const value = decodeValue(object.btf, map.valueTypeId, map.initialValue ?? new Uint8Array(map.valueSize));
      return (value as Record<string, unknown>)[name];
    };

    for (const [section, name, value, wanted] of [
      ['.rodata', 'threshold', '0xffffffff', 0xffff_ffff],
      ['.rodata', 'threshold', -1, 0xffff_ffff],
      ['.rodata', 'label', 'seven..', 'seven..'],
      ['.rodata', 'label', '', ''],
      ['.data', 'total', 2n ** 64n - 1n, 2n ** 64n - 1n],
      ['.data', 'last', '-5', -5],
      ['.bss', 'seen', 'true', 1],
      ['.data.apart', 'apart', 8, 8],
    ] as const) {
      it(`${name} becomes ${value}, and nothing else`, () => {
        const maps = set(name, value);
        assert.equal(String(readValue(section, name, maps)), String(wanted));
        for (const [index, map] of maps.entries()) {
          if (map.name !== section) assert.equal(map, object.maps[index]);
        }
        for (const other of ['threshold', 'label', 'limits'].filter((one) => one !== name)) {
          assert.deepEqual(readValue('.rodata', other, maps), readValue('.rodata', other));
        }
      });
    }

    for (const [name, value, code, message] of [
      ['threshold', 2 ** 32, 'RUNTIME_BAD_VARIABLE', /int of 4 bytes/],
      ['threshold', 'many', 'RUNTIME_BAD_VARIABLE', /"many"/],
      ['threshold', 0.5, 'RUNTIME_BAD_VARIABLE', /0\.5/],
      ['label', 'eight...', 'RUNTIME_BAD_VARIABLE', /array of 8 bytes/],
      ['limits', 1, 'RUNTIME_BAD_VARIABLE', /struct of 8 bytes/],
      ['histogram', 'text', 'RUNTIME_BAD_VARIABLE', /array of 16 bytes/],
      ['nothing', 1, 'RUNTIME_NO_VARIABLE', /the object has none of that name/],
      ['__proto__', 1, 'RUNTIME_NO_VARIABLE', /none/],
    ] as const) {
      it(`${name} is not made ${value}`, () => assert.throws(() => set(name, value), { code, message }));
    }

    it('stay as they are where nothing is asked for', () => assert.equal(setVariables(object), object.maps));
  });
}
