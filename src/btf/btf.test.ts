/** BTF as two compilers write it, and as nobody should. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BASICS, btfBytes, type TypeBytes } from '../../tests/support/btf-bytes.ts';
import { COMPILERS, objectFile, objectNames } from '../../tests/support/objects.ts';
import { readElf } from '../elf/elf-file.ts';
import { type Btf, readBtf } from './btf.ts';
import { readBtfExt } from './btf-ext.ts';
import { BtfError } from './errors.ts';
import type { Member } from './type.ts';

/** The types of a compiled object. */
function btfOf(name: string, compiler: (typeof COMPILERS)[number] = 'clang-19'): Btf {
  const elf = readElf(objectFile(name, compiler));
  return readBtf(elf.data(elf.section('.BTF')!));
}

const code = (wanted: string) => (error: unknown) => error instanceof BtfError && error.code === wanted;

describe('readBtf', () => {
  for (const compiler of COMPILERS) {
    it(`reads every type of every object of ${compiler}`, () => {
      for (const name of objectNames(compiler)) {
        const btf = btfOf(name, compiler);
        for (let id = 0; id < btf.count; id++) btf.type(id);
      }
    });
  }

  it('reads structs with bit fields, anonymous members and arrays', () => {
    const btf = btfOf('typed');
    const { type } = btf.byName('struct', 'value')!;
    assert.equal(type.size, 72);
    const field = (name: string): Member => type.members.find((member) => member.name === name)!;
    assert.deepEqual({ ...field('middle'), type: 0 }, { name: 'middle', type: 0, bitOffset: 139, bitSize: 11 });
    assert.equal(field('count').bitSize, undefined);
    assert.equal(btf.resolve(field('').type).kind, 'struct');
    assert.equal(btf.sizeOf(field('points').type), 8);
  });

  it('reads enums of both widths, signed and not', () => {
    const btf = btfOf('typed');
    const values = (kind: 'enum' | 'enum64', name: string) =>
      btf.byName(kind, name)!.type.enumerators.map((e) => [e.name, e.value]);
    assert.deepEqual(values('enum', 'kind'), [
      ['KIND_SMALL', 0n],
      ['KIND_LARGE', 7n],
      ['KIND_NEGATIVE', -3n],
    ]);
    assert.deepEqual(values('enum64', 'wide'), [
      ['WIDE_ONE', 1n],
      ['WIDE_HUGE', 0x123456789abcn],
    ]);
  });

  it('reads the kinds that C on its own does not give', () => {
    const btf = readBtf(
      btfBytes([
        ...BASICS,
        { kind: 'type_tag', name: 'user', value: 1 },
        { kind: 'ptr', value: 5 },
        { kind: 'decl_tag', name: 'note', value: 6, words: [0xffff_ffff] },
        { kind: 'restrict', value: 6 },
        { kind: 'enum64', name: 'low', value: 8, vlen: 1, flag: true, words: ['MINUS', 0xffff_ffff, 0xffff_ffff] },
        { kind: 'fwd', name: 'later' },
      ]),
    );
    assert.deepEqual(btf.resolve(8), { kind: 'ptr', type: 5 });
    assert.deepEqual(btf.resolve(5), btf.type(1));
    assert.deepEqual(btf.type(7), { kind: 'decl_tag', name: 'note', type: 6, component: -1 });
    assert.deepEqual(btf.byName('enum64', 'low')!.type.enumerators, [{ name: 'MINUS', value: -1n }]);
    assert.equal(btf.byName('fwd', 'sooner'), undefined);
  });

  it('measures what has a size', () => {
    const btf = readBtf(
      btfBytes([
        ...BASICS,
        { kind: 'typedef', name: 'u64', value: 2 },
        { kind: 'array', words: [5, 1, 10] },
        { kind: 'array', words: [6, 1, 3] },
        { kind: 'ptr', value: 0 },
        { kind: 'var', name: 'table', value: 7, words: [1] },
      ]),
    );
    assert.deepEqual(
      [1, 2, 5, 6, 7, 8, 9].map((id) => btf.sizeOf(id)),
      [4, 8, 8, 80, 240, 8, 240],
    );
  });

  for (const [why, bytes, wanted] of [
    ['an empty section', new Uint8Array(0), 'BTF_TRUNCATED'],
    ['nothing but a header of 24 bytes that claims more', btfBytes([]).subarray(0, 24), 'BTF_TRUNCATED'],
    ['another magic', btfBytes([], { magic: 0x9feb }), 'BTF_BAD_MAGIC'],
    ['version 2', btfBytes([], { version: 2 }), 'BTF_BAD_HEADER'],
    ['a header that is longer than the section', btfBytes([], { headerSize: 0xffff_ffff }), 'BTF_BAD_HEADER'],
    ['a header that is too short', btfBytes([], { headerSize: 8 }), 'BTF_BAD_HEADER'],
    ['types past the end', btfBytes([], { typesOffset: 0xffff_ff00, typesSize: 0xffff_ffff }), 'BTF_TRUNCATED'],
    ['strings past the end', btfBytes([], { stringsSize: 2 }), 'BTF_TRUNCATED'],
    ['no strings', btfBytes([], { stringsSize: 0 }), 'BTF_BAD_HEADER'],
    ['half a type', btfBytes(BASICS, { typesSize: 8 }), 'BTF_TRUNCATED'],
    ['a type number that does not exist', btfBytes([{ kind: 20 }]), 'BTF_BAD_KIND'],
    ['kind 0', btfBytes([{ kind: 0 }]), 'BTF_BAD_KIND'],
    ['more members than bytes', btfBytes([{ kind: 'struct', vlen: 65535 }]), 'BTF_TRUNCATED'],
  ] as const) {
    it(`refuses ${why} with ${wanted}`, () => {
      assert.throws(() => readBtf(bytes), code(wanted));
    });
  }

  for (const [why, types, wanted] of [
    ['a typedef of itself', [{ kind: 'typedef', name: 't', value: 1 }], 'BTF_TOO_DEEP'],
    [
      'const and volatile of each other',
      [
        { kind: 'const', value: 2 },
        { kind: 'volatile', value: 1 },
      ],
      'BTF_TOO_DEEP',
    ],
    ['an array of itself', [{ kind: 'array', words: [1, 1, 2] }], 'BTF_TOO_DEEP'],
    ['an array of 2^32 - 1 arrays', [{ kind: 'array', words: [2, 2, 0xffff_ffff] }, ...BASICS], 'BTF_TOO_LARGE'],
    [
      'empty structs, more than there are numbers',
      [
        ...Array.from({ length: 33 }, (_, i) => ({ kind: 'array' as const, words: [i + 2, 34, 0xffff_ffff] })),
        { kind: 'struct' },
      ],
      'BTF_TOO_LARGE',
    ],
    ['an id behind the last', [{ kind: 'typedef', name: 't', value: 999 }], 'BTF_BAD_ID'],
    ['a name outside the strings', [{ kind: 'fwd' as const, words: [] }], 'BTF_NO_SIZE'],
    ['void', [{ kind: 'const', value: 0 }], 'BTF_NO_SIZE'],
    ['a name of 512 bytes', [{ kind: 'struct', name: 'x'.repeat(512) }], 'BTF_BAD_STRING'],
  ] satisfies [string, TypeBytes[], string][]) {
    it(`refuses to measure ${why} with ${wanted}`, () => {
      const btf = readBtf(btfBytes(types));
      assert.throws(() => btf.sizeOf(1), code(wanted));
    });
  }
});

describe('readBtfExt', () => {
  const elf = readElf(objectFile('calls'));
  const ext = readBtfExt(elf.data(elf.section('.BTF.ext')!), btfOf('calls'));

  it('tells the source line of an instruction', () => {
    const { offset, file, line, column, text } = ext.lines.get('uprobe/second')![1]!;
    assert.deepEqual({ offset, file, line, column }, { offset: 8, file: './calls.bpf.c', line: 48, column: 18 });
    assert.equal(text.trim(), 'return store(2, triple(ARG1(ctx)));');
  });

  it('tells the functions of a section', () => {
    const btf = btfOf('calls');
    const names = ext.functions
      .get('.text')!
      .map(({ type }) => btf.type(type))
      .map((type) => type.kind === 'func' && type.name);
    assert.deepEqual(names, ['triple', 'twice_triple', 'store', 'unused_by_second']);
  });

  it('tells accesses to be relocated', () => {
    const core = readElf(objectFile('core-missing'));
    const { relocations } = readBtfExt(core.data(core.section('.BTF.ext')!), btfOf('core-missing'));
    const [only, ...others] = relocations.get('uprobe/core')!;
    const { offset, type, access, kind } = only!;
    assert.deepEqual({ offset, type, access, kind }, { offset: 24, type: 7, access: '0:0', kind: 0 });
    assert.deepEqual(others, []);
    assert.equal(relocations.get('uprobe/plain'), undefined);
  });
});
