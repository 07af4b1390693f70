/** Values of maps as JSON: every type there is, and types made to do harm. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BASICS, btfBytes, type TypeBytes } from '../../tests/support/btf-bytes.ts';
import { objectFile } from '../../tests/support/objects.ts';
import { fromHex } from '../bytes/hex.ts';
import { readElf } from '../elf/elf-file.ts';
import { readBtf } from './btf.ts';
import { decodeValue } from './decode-value.ts';
import { BtfError } from './errors.ts';

const FIRST = BASICS.length + 1;

/** Decodes with the first of `types`, the basic ones before it. */
function decode(types: readonly TypeBytes[], hex: string): unknown {
  return decodeValue(readBtf(btfBytes([...BASICS, ...types])), FIRST, fromHex(hex)!);
}

const int = (name: string, size: number, encoding: number): TypeBytes => ({
  kind: 'int',
  name,
  value: size,
  words: [(encoding << 24) | (size * 8)],
});

describe('decodeValue', () => {
  for (const [what, types, hex, expected] of [
    ['an unsigned byte', [int('unsigned char', 1, 0)], 'ff', 255],
    ['a signed byte', [int('signed char', 1, 1)], 'ff', -1],
    ['a signed int', [int('int', 4, 1)], 'feffffff', -2],
    ['the largest exact integer', [int('u64', 8, 0)], 'ffffffffffff1f00', Number.MAX_SAFE_INTEGER],
    ['one more as text', [int('u64', 8, 0)], '0000000000002000', '9007199254740992'],
    ['the least s64 as text', [int('s64', 8, 1)], '0000000000000080', '-9223372036854775808'],
    ['__int128', [int('u128', 16, 0)], '00000000000000000100000000000000', '18446744073709551616'],
    ['true', [int('_Bool', 1, 4)], '01', true],
    ['false', [int('_Bool', 1, 4)], '00', false],
    ['a pointer', [{ kind: 'ptr', value: 0 }], 'f0debc9a78563412', '0x123456789abcdef0'],
    ['an enum', [{ kind: 'enum', name: 'e', value: 4 }], '07000000', 7],
    ['a signed enum', [{ kind: 'enum', name: 'e', value: 4, flag: true }], 'fdffffff', -3],
    ['a double', [{ kind: 'float', name: 'double', value: 8 }], '000000000000f83f', 1.5],
    ['a float', [{ kind: 'float', name: 'float', value: 4 }], '0000c03f', 1.5],
    ['infinity as text', [{ kind: 'float', name: 'double', value: 8 }], '000000000000f07f', 'Infinity'],
    ['a char array up to its NUL', [{ kind: 'array', words: [3, 1, 6] }], '6869007878ff', 'hi'],
    ['a char array without NUL', [{ kind: 'array', words: [3, 1, 2] }], '6869', 'hi'],
    ['a char array that is not UTF-8', [{ kind: 'array', words: [3, 1, 3] }], 'ff6800', '\ufffdh'],
    ['an array', [{ kind: 'array', words: [1, 1, 2] }], '01000000ffffffff', [1, -1]],
    [
      'an array of char arrays',
      [
        { kind: 'array', words: [6, 1, 2] },
        { kind: 'array', words: [3, 1, 2] },
      ],
      '61006200',
      ['a', 'b'],
    ],
    ['an array of none', [{ kind: 'array', words: [1, 1, 0] }], '', []],
    [
      'what lies behind typedef, const and tag',
      [
        { kind: 'typedef', value: 6 },
        { kind: 'const', value: 7 },
        { kind: 'type_tag', value: 1 },
      ],
      '05000000',
      5,
    ],
    ['bytes behind the end of the type', [int('int', 4, 1)], '0100000099', 1],
  ] satisfies [string, TypeBytes[], string, unknown][]) {
    it(`decodes ${what}`, () => {
      assert.deepEqual(decode(types, hex), expected);
    });
  }

  it('gives bytes of unknown type as hexadecimal', () => {
    assert.equal(decodeValue(undefined, 5, Uint8Array.of(0xde, 0xad)), 'dead');
    assert.equal(decodeValue(readBtf(btfBytes(BASICS)), 0, Uint8Array.of(0xbe, 0xef)), 'beef');
  });

  it('decodes a struct of everything, as the compiler laid it out', () => {
    const elf = readElf(objectFile('typed'));
    const btf = readBtf(elf.data(elf.section('.BTF')!));
    const bytes = new Uint8Array(72);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, 3n, true);
    view.setBigInt64(8, -(1n << 60n), true);
    bytes[16] = 1;
    view.setUint32(16, 1 | ((5 | (1025 << 3)) << 8), true); // seen, low : 3, middle : 11
    view.setUint32(20, 200000 | ((-9 & 31) << 18), true); // high : 18, tilt : 5
    view.setInt16(24, -1, true);
    view.setInt16(30, 4, true);
    view.setUint32(32, 0x04030201, true);
    view.setBigUint64(40, 0x7fff_0000_1234n, true);
    view.setBigUint64(48, 0x1234_5678_9abcn, true);
    view.setFloat64(56, 0.25, true);
    bytes.set([42, 7, 8, 9], 64);
    assert.deepEqual(JSON.parse(JSON.stringify(decodeValue(btf, btf.byName('struct', 'value')!.id, bytes))), {
      count: 3,
      balance: '-1152921504606846976',
      seen: true,
      low: 5,
      middle: 1025,
      high: 200000,
      tilt: -9,
      points: [
        { x: -1, y: 0 },
        { x: 0, y: 4 },
      ],
      word: { number: 0x04030201, bytes: [1, 2, 3, 4] },
      address: '0x7fff00001234',
      wide: 0x123456789abc,
      ratio: 0.25,
      inner: 42,
      raw: [7, 8, 9],
    });
  });

  it('decodes a section as an object of its variables', () => {
    const types: TypeBytes[] = [
      { kind: 'datasec', name: '.data', vlen: 2, words: [6, 4, 8, 7, 0, 4] },
      { kind: 'var', name: 'late', value: 2, words: [1] },
      { kind: 'var', name: 'early', value: 1, words: [0] },
    ];
    assert.deepEqual(JSON.stringify(decode(types, '010000000200000000000000')), '{"early":1,"late":2}');
  });

  it('keeps a field called __proto__ a field', () => {
    const value = decode(
      [{ kind: 'struct', value: 8, vlen: 2, words: ['__proto__', 1, 0, 'toString', 1, 32] }],
      '0100000002000000',
    );
    assert.deepEqual(Object.entries(value as object), [
      ['__proto__', 1],
      ['toString', 2],
    ]);
    assert.equal(JSON.stringify(value), '{"__proto__":1,"toString":2}');
    assert.equal(({} as Record<string, unknown>)['1'], undefined);
  });

  for (const [why, types, hex, code] of [
    ['too few bytes', [int('int', 4, 1)], '0102', 'BTF_TRUNCATED'],
    [
      'a member behind the end',
      [{ kind: 'struct', value: 4, vlen: 1, words: ['x', 1, 8] }],
      '00000000',
      'BTF_TRUNCATED',
    ],
    [
      'a bit field behind the end',
      [{ kind: 'struct', value: 4, vlen: 1, flag: true, words: ['x', 1, (20 << 24) | 16] }],
      '00000000',
      'BTF_BAD_TYPE',
    ],
    [
      'a bit field of a struct',
      [{ kind: 'struct', value: 4, vlen: 1, flag: true, words: ['x', 5, (2 << 24) | 16] }],
      '00000000',
      'BTF_BAD_TYPE',
    ],
    [
      'a member at half a byte',
      [{ kind: 'struct', value: 4, vlen: 1, words: ['x', 3, 4] }],
      '00000000',
      'BTF_BAD_TYPE',
    ],
    ['a struct of itself', [{ kind: 'struct', value: 4, vlen: 1, words: ['x', 5, 0] }], '00000000', 'BTF_TOO_DEEP'],
    ['an int of a megabyte', [{ kind: 'int', name: 'int', value: 17, words: [0] }], '00'.repeat(17), 'BTF_BAD_TYPE'],
    [
      '2^32 - 1 empty structs',
      [{ kind: 'array', words: [6, 1, 0xffff_ffff] }, { kind: 'struct' }],
      '',
      'BTF_TOO_LARGE',
    ],
    [
      'a thousand million empty arrays',
      [
        { kind: 'array', words: [6, 1, 1000] },
        { kind: 'array', words: [7, 1, 1000] },
        { kind: 'array', words: [8, 1, 1000] },
        { kind: 'struct' },
      ],
      '',
      'BTF_TOO_LARGE',
    ],
    ['a function', [{ kind: 'func_proto', value: 0 }], '', 'BTF_NO_SIZE'],
    [
      'a section of what are no variables',
      [{ kind: 'datasec', vlen: 1, words: [1, 0, 4] }],
      '00000000',
      'BTF_BAD_KIND',
    ],
  ] satisfies [string, TypeBytes[], string, string][]) {
    it(`refuses ${why} with ${code}`, () => {
      assert.throws(
        () => decode(types, hex),
        (e) => e instanceof BtfError && e.code === code,
      );
    });
  }

  it('gives a value or a BtfError for any mutation of types', () => {
    const elf = readElf(objectFile('typed'));
    const section = elf.data(elf.section('.BTF')!);
    const mutation = fc.array(fc.tuple(fc.nat(section.length - 1), fc.nat(255)), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(mutation, fc.uint8Array({ minLength: 72, maxLength: 72 }), (edits, bytes) => {
        const mutated = new Uint8Array(section);
        for (const [at, byte] of edits) mutated[at] = byte;
        try {
          const btf = readBtf(mutated);
          for (let id = 1; id < btf.count; id++) JSON.stringify(valueOrError(() => decodeValue(btf, id, bytes)));
        } catch (error) {
          if (!(error instanceof BtfError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});

function valueOrError(decodeOne: () => unknown): unknown {
  try {
    return decodeOne();
  } catch (error) {
    if (error instanceof BtfError) return error.code;
    throw error;
  }
}
