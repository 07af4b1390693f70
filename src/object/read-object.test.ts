/** Objects of two compilers to specs, and the objects that are refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  COMPILERS,
  type Compiler,
  objectFile,
  objectNames,
  patchSection,
  patchSectionHeader,
} from '../../tests/support/objects.ts';
import { decodeValue } from '../btf/decode-value.ts';
import { sectionVariables } from '../btf/variables.ts';
import { readElf } from '../elf/elf-file.ts';
import { Ehdr } from '../elf/header.ts';
import { SectionType, Shdr } from '../elf/sections.ts';
import { Sym } from '../elf/symbols.ts';
import { BpfError } from '../errors.ts';
import { operationOf } from '../insn/form.ts';
import { layOut, SlotMap } from '../insn/layout.ts';
import { readObject, surveyObject } from './read-object.ts';
import type { LinkedProgram, ObjectSpec } from './spec.ts';

function read(name: string, compiler: Compiler = 'clang-19'): ObjectSpec {
  return readObject(objectFile(name, compiler), KERNEL);
}

/** Settings that the fixtures ask for. */
const KERNEL = {
  version: 1,
  types: () => undefined,
  config: () => 'CONFIG_BPF=y\nCONFIG_EXT4_FS=m\nCONFIG_LETTER=m\nCONFIG_LONG=1\nCONFIG_HZ=100\nCONFIG_NAME="name"',
};

function program(object: ObjectSpec, name: string): LinkedProgram {
  const found = object.programs.find((p) => p.name === name);
  assert.ok(found, `no program ${name}`);
  return found;
}

const hasCode = (code: string) => (error: unknown) => error instanceof BpfError && error.code === code;

const U64_ARRAY = { type: 2, keySize: 4, valueSize: 8, flags: 0 };

for (const compiler of COMPILERS) {
  describe(`readObject on the output of ${compiler}`, () => {
    it('reads the license, as text of any length or as nothing', () => {
      assert.equal(read('count', compiler).license, 'MIT');
      assert.equal(read('typed', compiler).license, 'Dual MIT/GPL');
      assert.equal(read('empty', compiler).license, '');
    });

    it('reads programs by section and address', () => {
      const { programs } = read('programs', compiler);
      assert.deepEqual(
        programs.map((p) => [p.section, p.name]),
        [
          ['uprobe/libc.so.6:malloc', 'on_malloc'],
          ['uprobe/libc.so.6:malloc', 'on_malloc_too'],
          ['uprobe/libc.so.6:free', 'on_free'],
          ['uprobe/libc.so.6:calloc', 'on_calloc'],
          ['uprobe/libc.so.6:realloc', 'on_realloc'],
        ],
      );
    });

    it('reads map definitions in order, data sections behind them', () => {
      const { maps } = read('programs', compiler);
      assert.deepEqual(
        maps.map((m) => [m.name, m.maxEntries]),
        [
          ['m0', 1],
          ['m1', 2],
          ['m2', 3],
          ['m3', 4],
          ['m4', 5],
          ['m5', 6],
          ['m6', 7],
          ['m7', 8],
          ['.rodata', 1],
        ],
      );
      const { name: _, maxEntries: __, keyTypeId, valueTypeId, ...sizes } = maps[3]!;
      assert.deepEqual(sizes, U64_ARRAY);
      assert.ok(keyTypeId > 0 && valueTypeId > 0);
    });

    it('reads map definitions by sizes and by types, with flags', () => {
      assert.deepEqual(read('plain-count', compiler).maps, [
        { name: 'counts', ...U64_ARRAY, maxEntries: 2, keyTypeId: 0, valueTypeId: 0 },
      ]);
      const [calls] = read('hash', compiler).maps;
      assert.deepEqual([calls!.type, calls!.keySize, calls!.flags], [1, 8, 1]);
      const [table] = read('typed', compiler).maps;
      assert.deepEqual([table!.keySize, table!.valueSize], [24, 72]);
    });

    it('makes a map of each data section, with its variables and initial bytes', () => {
      const { maps, btf } = read('data', compiler);
      const values = maps.map((map) => [
        map.name,
        decodeValue(btf, map.valueTypeId, map.initialValue ?? new Uint8Array(map.valueSize)),
      ]);
      assert.deepEqual(JSON.parse(JSON.stringify(values)), [
        ['.rodata', { threshold: 100, label: 'remora', limits: { low: 10, high: 20 } }],
        ['.data', { total: 1000, last: -1 }],
        ['.data.apart', { apart: 7 }],
        ['.bss', { seen: 0, histogram: [0, 0, 0, 0] }],
        ['.bss.blank', { blank: 0 }],
      ]);
      assert.deepEqual(
        maps.map((map) => [map.valueSize, map.maxEntries, map.keySize, map.initialValue?.length]),
        [
          [20, 1, 4, 20],
          [12, 1, 4, 12],
          [8, 1, 4, 8],
          [24, 1, 4, undefined],
          [8, 1, 4, undefined],
        ],
      );
      assert.deepEqual(
        sectionVariables(btf!, maps[0]!.valueTypeId).map((v) => [v.name, v.offset, v.size]),
        [
          ['threshold', 0, 4],
          ['label', 4, 8],
          ['limits', 12, 8],
        ],
      );
    });

    it('resolves loads of variables, global and static, to their offsets', () => {
      const { insns, references } = program(read('data', compiler), 'on_call');
      const loaded = [...references.values()].map((r) => r.kind === 'mapValue' && `${r.map}+${r.offset}`);
      assert.deepEqual(loaded, [
        '.bss+0',
        '.rodata+0',
        '.data+0',
        '.data+8',
        '.bss+8',
        '.rodata+12',
        '.data.apart+0',
        '.rodata+4',
        '.bss.blank+0',
      ]);
      for (const [index, reference] of references) {
        assert.equal(reference.kind === 'mapValue' && BigInt(reference.offset) << 32n, insns[index]!.imm64);
      }
    });

    it('joins a program with the subprograms it reaches, each once', () => {
      const object = read('calls', compiler);
      const subprograms = (name: string) => program(object, name).subprograms.map((s) => `${s.linkage} ${s.name}`);
      assert.deepEqual(subprograms('first'), [
        'global first',
        'static twice_triple',
        'static store',
        'static unused_by_second',
        'global triple',
      ]);
      assert.deepEqual(subprograms('second'), ['global second', 'global triple', 'static store']);
    });

    it('resolves the address of a subprogram', () => {
      const { insns, references, subprograms } = program(read('callback', compiler), 'on_call');
      const [[index, reference]] = [...references] as [[number, { kind: string; insn: number }]];
      assert.deepEqual(reference, { kind: 'function', insn: subprograms[1]!.start });
      const load = insns[index]!;
      assert.equal(insns[subprograms[1]!.start]!.slot, load.slot + 1 + load.imm);
    });

    it('keeps source lines through linking', () => {
      const { lines, subprograms } = program(read('calls', compiler), 'first');
      const triple = subprograms.find((s) => s.name === 'triple')!;
      const { file, line, text } = lines.get(triple.start)!;
      assert.deepEqual([file, line, text], ['./calls.bpf.c', 23, '__noinline int triple(int x)']);
      assert.equal(lines.get(0)!.line, 39);
    });

    for (const name of objectNames(compiler).filter((n) => !n.startsWith('unsupported-'))) {
      it(`lays out ${name} so that every call leads to a subprogram and every map it names exists`, () => {
        const object = read(name, compiler);
        const maps = new Set(object.maps.map((map) => map.name));
        for (const { insns, subprograms, references } of object.programs) {
          assert.deepEqual(layOut(insns), insns);
          const slots = new SlotMap(insns);
          const starts = new Set(subprograms.map((s) => s.start));
          for (const insn of insns) {
            const operation = operationOf(insn);
            if (operation.kind === 'call' && operation.callee === 'local') assert.ok(starts.has(slots.target(insn)!));
          }
          for (const reference of references.values())
            assert.ok(reference.kind === 'function' || maps.has(reference.map));
        }
      });
    }

    for (const [name, code] of [
      ['unsupported-ksym', 'OBJECT_EXTERN'],
      ['unsupported-data-pointer', 'OBJECT_DATA_RELOCATION'],
    ] as const) {
      it(`refuses ${name} with ${code}`, () => {
        assert.throws(() => read(name, compiler), hasCode(code));
      });
    }
  });
}

describe('readObject', () => {
  it('does not depend on the file afterwards', () => {
    const file = objectFile('data');
    const object = readObject(file);
    const before = JSON.stringify(
      object.maps.map((m) => decodeValue(object.btf, m.valueTypeId, m.initialValue ?? new Uint8Array(64))),
    );
    const line = program(object, 'on_call').lines.get(0)!.text;
    file.fill(0);
    const after = JSON.stringify(
      object.maps.map((m) => decodeValue(object.btf, m.valueTypeId, m.initialValue ?? new Uint8Array(64))),
    );
    assert.equal(after, before);
    assert.equal(program(object, 'on_call').lines.get(0)!.text, line);
  });

  it('leaves the file as it is, also if it is a Buffer', () => {
    const file = Buffer.from(objectFile('data', 'clang-14'));
    const before = Buffer.from(file.toString('hex'), 'hex');
    readObject(file);
    assert.ok(file.equals(before));
  });

  it('reads an object without BTF if it defines no maps', () => {
    const file = objectFile('empty');
    patchSectionHeader(file, '.BTF', { name: 0 });
    const object = readObject(file);
    assert.equal(object.btf, undefined);
    assert.equal(object.programs[0]!.lines.size, 0);
  });

  for (const [why, name, spoil, code] of [
    ['an x86-64 file', 'count', (f) => Ehdr.write(f, 0, { ...Ehdr.read(f), machine: 62 }), 'OBJECT_NOT_BPF'],
    ['a linked file', 'count', (f) => Ehdr.write(f, 0, { ...Ehdr.read(f), type: 2 }), 'OBJECT_NOT_BPF'],
    [
      'sections larger than the file',
      'count',
      (f) => patchSectionHeader(f, '.debug_info', { size: 1n << 20n }),
      'OBJECT_OVERLAP',
    ],
    [
      'an object without symbols',
      'count',
      (f) => patchSectionHeader(f, '.symtab', { type: SectionType.PROGBITS }),
      'OBJECT_NO_SYMBOLS',
    ],
    ['map definitions without BTF', 'count', (f) => patchSectionHeader(f, '.BTF', { name: 0 }), 'OBJECT_NO_BTF'],
    ['a .bss of 2^62 bytes', 'data', (f) => patchSectionHeader(f, '.bss', { size: 1n << 62n }), 'OBJECT_TOO_LARGE'],
    [
      'a relocation of an unknown type',
      'count',
      (f) => patchSection(f, '.reluprobe', 8, [99]),
      'OBJECT_BAD_RELOCATION',
    ],
    [
      'a relocation between instructions',
      'count',
      (f) => patchSection(f, '.reluprobe', 0, [1]),
      'OBJECT_BAD_RELOCATION',
    ],
    ['a relocation behind the code', 'count', (f) => patchSection(f, '.reluprobe', 7, [1]), 'OBJECT_BAD_RELOCATION'],
    ['a relocation of an exit', 'count', (f) => patchSection(f, '.reluprobe', 0, [8 * 11]), 'OBJECT_BAD_RELOCATION'],
    [
      'a relocation to a symbol past the last',
      'count',
      (f) => patchSection(f, '.reluprobe', 12, [0xff, 0xff]),
      'ELF_BAD_SYMBOL',
    ],
    [
      'a load behind the end of its section',
      'data',
      (f) => patchSection(f, 'uprobe', 0x10 + 4, [24]),
      'OBJECT_BAD_RELOCATION',
    ],
    ['a map named by number', 'count', nameMapByNumber, 'OBJECT_BAD_REFERENCE'],
    [
      'a call into the middle of a function',
      'calls',
      (f) => patchSection(f, 'uprobe/first', 0x38 + 4, [11]),
      'OBJECT_BAD_CALL',
    ],
    ['bytes that are no instruction', 'empty', (f) => patchSection(f, 'uprobe', 0, [0xff]), 'OBJECT_BAD_FUNCTION'],
    [
      'a slot filled by a relocation of 32 bits',
      'tail-calls',
      (f) => patchSection(f, '.rel.maps', 8, [3]),
      'OBJECT_BAD_RELOCATION',
    ],
    ['an address in between two slots', 'tail-calls', (f) => patchSection(f, '.rel.maps', 0, [0x44]), 'OBJECT_BAD_MAP'],
    [
      'an address where a map has no slots',
      'tail-calls',
      (f) => patchSection(f, '.rel.maps', 0, [0x08]),
      'OBJECT_BAD_MAP',
    ],
    [
      'an address beyond the section',
      'tail-calls',
      (f) => patchSection(f, '.rel.maps', 0, [0xf8]),
      'OBJECT_BAD_RELOCATION',
    ],
    ['a program where a map is wanted', 'map-in-map', (f) => nameInSlot(f, 'on_visit'), 'OBJECT_BAD_MAP'],
    ['a map where a program is wanted', 'tail-calls', (f) => nameInSlot(f, 'seen'), 'OBJECT_BAD_MAP'],
    ['half an instruction', 'empty', (f) => patchSymbol(f, 'on_call', { size: 12n }), 'OBJECT_BAD_FUNCTION'],
    [
      'a function that leaves its section',
      'empty',
      (f) => patchSymbol(f, 'on_call', { size: 24n }),
      'OBJECT_BAD_FUNCTION',
    ],
    ['overlapping functions', 'hash', (f) => patchSymbol(f, 'on_forget', { value: 8n }), 'OBJECT_BAD_FUNCTION'],
  ] satisfies [string, string, (file: Uint8Array) => void, string][]) {
    it(`refuses ${why} with ${code}`, () => {
      const file = objectFile(name);
      spoil(file);
      assert.throws(() => readObject(file), hasCode(code));
    });
  }

  it('gives a spec or a BpfError for every truncation', () => {
    const file = objectFile('calls', 'clang-14');
    for (let length = 0; length < file.length; length++) specOrBpfError(file.slice(0, length));
  });

  it('gives a spec or a BpfError for any mutation', { timeout: 120_000 }, () => {
    const objects = ['calls', 'data', 'programs', 'typed', 'tail-calls', 'map-in-map'].map((name) => objectFile(name));
    const edits = fc.array(EDIT, { minLength: 1, maxLength: 6 });
    const outcomes = { spec: 0, error: 0 };
    fc.assert(
      fc.property(fc.constantFrom(...objects), edits, (object, chosen) => {
        const file = new Uint8Array(object);
        const ranges = vulnerableRanges(object);
        for (const edit of chosen) edit(file, ranges);
        outcomes[specOrBpfError(file)]++;
      }),
      { numRuns: 2000 },
    );
    assert.ok(outcomes.spec > 100 && outcomes.error > 100, `both happen: ${JSON.stringify(outcomes)}`);
  });
});

describe('surveyObject', () => {
  it('reads the programs beside one that is no code', () => {
    const file = objectFile('programs');
    patchSection(file, 'uprobe/libc.so.6:free', 0, [0xff]);
    const { programs, unlinked, obstacles } = surveyObject(file);
    assert.deepEqual(
      unlinked.map(({ name, section }) => [name, section]),
      [['on_free', 'uprobe/libc.so.6:free']],
    );
    assert.ok(hasCode('OBJECT_BAD_FUNCTION')(unlinked[0]!.error));
    assert.deepEqual(obstacles, [unlinked[0]!.error]);
    assert.equal(programs.length, 4);
  });

  it('tells what the slots of a map of programs hold', () => {
    for (const compiler of COMPILERS) {
      const jumps = readObject(objectFile('tail-calls', compiler)).maps.find(({ name }) => name === 'jumps')!;
      assert.deepEqual([jumps.type, jumps.keySize, jumps.valueSize, jumps.maxEntries], [3, 4, 4, 10]);
      assert.deepEqual(
        jumps.initialSlots!.map(({ index, name }) => `${index} ${name}`),
        ['0 stay', '1 again', '2 hop', '5 context', '6 stay'],
      );
    }
  });

  it('tells what the slots of maps of maps hold, and what all of them are like', () => {
    for (const compiler of COMPILERS) {
      const { maps } = readObject(objectFile('map-in-map', compiler));
      const found = ['chosen', 'named'].map((wanted) => {
        const { type, keySize, valueSize, innerMap, initialSlots } = maps.find(({ name }) => name === wanted)!;
        const inner = [innerMap!.name, innerMap!.type, innerMap!.keySize, innerMap!.valueSize, innerMap!.maxEntries];
        return [type, keySize, valueSize, inner, initialSlots!.map(({ index, name }) => `${index} ${name}`)];
      });
      assert.deepEqual(found, [
        [12, 4, 4, ['chosen.inner', 2, 4, 8, 4], ['0 first', '2 second']],
        [13, 4, 4, ['named.inner', 5, 8, 8, 16], ['0 even', '1 odd']],
      ]);
    }
  });

  it('names each program that cannot be linked', () => {
    const { unlinked } = surveyObject(objectFile('unsupported-ksym'));
    assert.ok(unlinked.length > 0 && unlinked.every(({ error }) => hasCode('OBJECT_EXTERN')(error)));
  });
});

/** Has the first slot that is filled hold something else. */
function nameInSlot(file: Uint8Array, name: string): void {
  const { symtab } = readElf(file);
  let symbol = 0;
  while (symtab!.at(symbol).name !== name) symbol++;
  patchSection(file, '.rel.maps', 12, [symbol]);
}

type Range = readonly [start: number, end: number];
type Edit = (file: Uint8Array, ranges: readonly Range[]) => void;

/** A place in one of the ranges, by two numbers up to 2^31. */
function place(ranges: readonly Range[], range: number, at: number): number {
  const [start, end] = ranges[range % ranges.length]!;
  return start + (at % Math.max(end - start, 1));
}

/** One byte; one word of the kind that breaks arithmetic; or a run of bytes copied from elsewhere. */
const EDIT: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat(), fc.nat(255)).map(
    ([range, at, byte]): Edit =>
      (file, ranges) => {
        file[place(ranges, range, at)] = byte;
      },
  ),
  fc.tuple(fc.nat(), fc.nat(), fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff8)).map(
    ([range, at, word]): Edit =>
      (file, ranges) => {
        const aligned = place(ranges, range, at) & ~3;
        if (aligned + 4 <= file.length) new DataView(file.buffer).setUint32(aligned, word, true);
      },
  ),
  fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat(), fc.nat(64)).map(
    ([range, at, fromRange, from, size]): Edit =>
      (file, ranges) => {
        const source = place(ranges, fromRange, from);
        file.copyWithin(place(ranges, range, at), source, source + size);
      },
  ),
);

/** The file header, the section table and every section but debug information: where an edit is likely to matter. */
function vulnerableRanges(file: Uint8Array): Range[] {
  const { header, sections } = readElf(file);
  const table = Number(header.shoff);
  const read = sections.filter(({ name, type }) => !name.includes('debug') && type !== SectionType.NOBITS);
  return [
    [0, Ehdr.size],
    [table, table + sections.length * Shdr.size],
    ...read.map((s): Range => [s.offset, s.offset + s.size]),
  ];
}

/** What comes out, looked at as a user would. */
function specOrBpfError(file: Uint8Array): 'spec' | 'error' {
  try {
    surveyObject(file);
    const object = readObject(file);
    for (const { valueTypeId, valueSize } of object.maps)
      decodeValue(object.btf, valueTypeId, new Uint8Array(Math.min(valueSize, 4096)));
    for (const { lines } of object.programs)
      for (const line of lines.values()) assert.equal(typeof line.text, 'string');
    return 'spec';
  } catch (error) {
    if (error instanceof BpfError) return 'error';
    throw error;
  }
}

/** Overwrites fields of a symbol. */
function patchSymbol(file: Uint8Array, name: string, fields: Partial<ReturnType<typeof Sym.read>>): void {
  const elf = readElf(file);
  const at = elf.section('.symtab')!.offset + elf.findSymbol(name)!.index * Sym.size;
  Sym.write(file, at, { ...Sym.read(file, at), ...fields });
}

/** Turns the load of a map into one of map file descriptor 0, and hides its relocation. */
function nameMapByNumber(file: Uint8Array): void {
  patchSectionHeader(file, '.reluprobe', { type: SectionType.PROGBITS });
  patchSection(file, 'uprobe', 4 * 8 + 1, [0x11]);
}
