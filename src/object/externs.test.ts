import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPILERS, objectFile } from '../../tests/support/objects.ts';
import { readBtf } from '../btf/btf.ts';
import { decodeValue } from '../btf/decode-value.ts';
import { type KernelFacts, NO_KERNEL } from './kernel-facts.ts';
import { readObject } from './read-object.ts';

const CONFIG = {
  CONFIG_BPF: 'y',
  CONFIG_EXT4_FS: 'm',
  CONFIG_LETTER: 'm',
  CONFIG_LONG: '-0x123456789',
  CONFIG_HZ: '250',
  CONFIG_NAME: '"abcdefghijk"',
};

const kernel = (settings: Readonly<Record<string, string>>): KernelFacts => ({
  version: 0x06_01_05,
  types: () => undefined,
  config: () =>
    ['# a comment', '# CONFIG_ABSENT is not set', ...Object.entries(settings).map(([k, v]) => `${k}=${v}`)].join('\n'),
});

for (const compiler of COMPILERS) {
  describe(`externs of ${compiler}`, () => {
    const file = () => objectFile('externs', compiler);

    it('become a read-only map with a value for each', () => {
      const { btf, btfBytes, maps, programs } = readObject(
        file(),
        kernel({ ...CONFIG, CONFIG_LONG: '81985529205931230' }),
      );
      const map = maps.find(({ name }) => name === '.kconfig')!;
      assert.equal(map.flags, 0x80);
      assert.deepEqual(
        { ...(decodeValue(btf, map.valueTypeId, map.initialValue!) as object) },
        {
          LINUX_KERNEL_VERSION: 0x06_01_05,
          LINUX_HAS_BPF_COOKIE: true,
          CONFIG_BPF: true,
          CONFIG_EXT4_FS: 2,
          CONFIG_LETTER: 'm'.charCodeAt(0),
          CONFIG_LONG: '81985529205931230',
          CONFIG_HZ: 250,
          CONFIG_NAME: 'abcdefg',
          CONFIG_ABSENT: 0,
          CONFIG_ABSENT_TOO: false,
        },
      );
      // Who has the types as bytes only finds the same.
      assert.deepEqual(
        decodeValue(readBtf(btfBytes!), map.valueTypeId, map.initialValue!),
        decodeValue(btf, map.valueTypeId, map.initialValue!),
      );
      // Reads of one variable are reads of the bytes that the map has for it.
      const offsets = [...programs[0]!.references.values()].flatMap((reference) =>
        reference.kind === 'mapValue' && reference.map === '.kconfig' ? reference.offset : [],
      );
      assert.equal(new Set(offsets).size, offsets.length);
      assert.ok(offsets.every((offset) => offset < map.valueSize));
    });

    it('of the kernel that are weak are 0', () => {
      const { programs } = readObject(file(), kernel(CONFIG));
      const { insns, references } = programs[0]!;
      const numbers = insns.filter((insn, index) => insn.imm64 !== undefined && !references.has(index));
      assert.deepEqual(
        numbers.map(({ src, imm64 }) => [src, imm64]),
        [[0, 0n]],
      );
    });

    for (const [why, settings, message] of [
      ['a setting that is not set', { CONFIG_HZ: undefined }, /'CONFIG_HZ' has no value: it is not set/],
      ['a number for a yes or no', { CONFIG_BPF: '7' }, /'CONFIG_BPF' is 7/],
      ['a module for a yes or no', { CONFIG_BPF: 'm' }, /'CONFIG_BPF' is m/],
      ['a number for a tristate', { CONFIG_EXT4_FS: '1' }, /'CONFIG_EXT4_FS' is 1/],
      ['a number that is too large', { CONFIG_HZ: '2147483648' }, /'CONFIG_HZ' is 2147483648/],
      ['a yes for a number', { CONFIG_HZ: 'y' }, /'CONFIG_HZ' is y/],
      ['a number for a text', { CONFIG_NAME: '5' }, /'CONFIG_NAME' is 5/],
      ['a text without an end', { CONFIG_NAME: '"abc' }, /'CONFIG_NAME' is "abc/],
      ['a text for a number', { CONFIG_HZ: '"100"' }, /'CONFIG_HZ' is "100"/],
    ] as const) {
      it(`refuse ${why}`, () => {
        const all = Object.entries({ ...CONFIG, ...settings } as Record<string, string | undefined>);
        const given = Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== undefined));
        assert.throws(() => readObject(file(), kernel(given)), { code: 'OBJECT_EXTERN', message });
      });
    }

    it('refuse settings of a configuration that nobody may read', () => {
      assert.throws(() => readObject(file(), { ...NO_KERNEL, version: 1 }), {
        code: 'OBJECT_EXTERN',
        message: /the configuration of the kernel cannot be read/,
      });
    });

    it('of the kernel that are not weak are refused by name', () => {
      assert.throws(() => readObject(objectFile('unsupported-ksym', compiler)), {
        code: 'OBJECT_EXTERN',
        message: /'bpf_prog_active' is not defined in the object/,
      });
    });
  });
}
