/**
 * Objects whose types, functions and source lines are hostile: the program is judged without what makes no sense, or
 * refused with a code; whatever they say, that ends soon. A million records with REMORA_LONG=1.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readBtf } from '../../src/btf/btf.ts';
import { readBtfExt } from '../../src/btf/btf-ext.ts';
import { BtfExtHeader } from '../../src/btf/header.ts';
import { readElf } from '../../src/elf/elf-file.ts';
import { BpfError } from '../../src/errors.ts';
import { surveyObject } from '../../src/object/read-object.ts';
import type { ObjectSurvey } from '../../src/object/spec.ts';
import { type Verdict, verify } from '../../src/verifier/verify.ts';
import { BASICS, btfBytes, type TypeBytes } from '../support/btf-bytes.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile, patchSection, withSection } from '../support/objects.ts';
import { CASE_MAPS, parseCases } from '../support/verifier-cases.ts';
import { verifyOptions } from '../support/verifier-subject.ts';

const MANY = repetitions(20_000, 1_000_000);
const RUNS = repetitions(150, 5000);

/** `first` and `second` call functions; `triple` is global: it is verified by its type. */
const OBJECT = objectFile('calls');
const ELF = readElf(OBJECT);
const BTF = readBtf(ELF.data(ELF.section('.BTF')!));
const TRIPLE = BTF.byName('func', 'triple')!.id;
/** Any name that the strings have. */
const SECTION_NAME = nameOffset('uprobe/second');

/** One section's records of some size. */
interface Rows {
  readonly name: number;
  readonly rows: readonly (readonly number[])[];
  /** Default: as many as there are. */
  readonly count?: number;
}

describe('BTF.ext', () => {
  for (const [why, ext, code] of [
    ['function records of 4 bytes', info({ functions: [4] }), 'BTF_BAD_HEADER'],
    ['line records of 12 bytes', info({ lines: [12] }), 'BTF_BAD_HEADER'],
    ['records of 9 bytes', info({ functions: [9] }), 'BTF_BAD_HEADER'],
    ['half a record size', info({ functions: [] }, { functionsSize: 2 }), 'BTF_TRUNCATED'],
    ['functions behind the end', info({}, { functionsOffset: 0xffff_fff0, functionsSize: 64 }), 'BTF_TRUNCATED'],
    ['lines that are more than there are', info({}, { linesSize: 0x7fff_ffff }), 'BTF_TRUNCATED'],
    ['more functions than bytes', functionInfo([{ name: 0, rows: [], count: 0xffff_ffff }]), 'BTF_TRUNCATED'],
    ['more lines than bytes', lineInfo([{ name: 0, rows: [[0, 0, 0, 0]], count: 1 << 28 }]), 'BTF_TRUNCATED'],
    ['a section of no functions', functionInfo([{ name: 0, rows: [] }]), 'BTF_BAD_HEADER'],
    ['a section whose name is nowhere', functionInfo([{ name: 1 << 24, rows: [[0, 1]] }]), 'BTF_BAD_STRING'],
    ['a line whose text is nowhere', lineInfo([{ name: 0, rows: [[0, 0, 1 << 24, 0]] }]), 'BTF_BAD_STRING'],
    ['a line whose file is nowhere', lineInfo([{ name: 0, rows: [[0, 0xffff_ffff, 0, 0]] }]), 'BTF_BAD_STRING'],
  ] as const) {
    it(`is refused with ${code} for ${why}`, () => {
      assert.throws(
        () => surveyObject(withSection(OBJECT, '.BTF.ext', ext)),
        (error) => error instanceof BpfError && error.code === code,
      );
    });
  }

  for (const [why, ext] of [
    ['no records', info({})],
    [
      'functions where none begins',
      functionInfo([
        {
          name: SECTION_NAME,
          rows: [
            [3, 1],
            [0xffff_fff8, 2],
          ],
        },
      ]),
    ],
    ['functions of types that are not there', functionInfo([{ name: SECTION_NAME, rows: [[0, 0xffff_ffff]] }])],
    ['functions of what is no function', functionInfo([{ name: SECTION_NAME, rows: [[0, 1]] }])],
    ['functions of sections that are not there', functionInfo([{ name: 0, rows: [[0, 1]] }])],
    [
      'lines that are not in order',
      lineInfo([
        {
          name: SECTION_NAME,
          rows: [
            [64, 0, 0, 2048],
            [0, 0, 0, 1024],
            [64, 0, 0, 9],
          ],
        },
      ]),
    ],
    [
      'lines in the middle of instructions, and behind the last',
      lineInfo([
        {
          name: SECTION_NAME,
          rows: [
            [1, 0, 0, 0],
            [0xffff_ffff, 0, 0, 0],
          ],
        },
      ]),
    ],
  ] as const) {
    // biome-ignore format: a row of records
    it(`that says ${why} changes no verdict`, () => {
      const survey = surveyObject(withSection(OBJECT, '.BTF.ext', ext));
      assert.deepEqual(verdicts(survey), { first: 'accept', second: 'accept' });
    });
  }

  for (const [what, type] of [
    ['a type that is not there', 0xffff_ffff],
    ['what is no function', 1],
    ['void', 0],
  ] as const) {
    it(`gives a global function ${what}: programs that call it are refused`, () => {
      const ext = functionInfo([{ name: nameOffset('.text'), rows: [[0, type]] }]);
      const survey = surveyObject(withSection(OBJECT, '.BTF.ext', ext));
      assert.match(verdicts(survey).second!, /^VERIFIER_BAD_(TYPES|ARGUMENT)$/);
    });
  }

  it(`may have ${MANY} lines of one instruction, and ${MANY} functions at one place`, () => {
    const lines = Array.from({ length: MANY }, (_, line) => [0, 0, 0, line << 10]);
    const functions = Array.from({ length: MANY }, () => [0, TRIPLE]);
    for (const ext of [
      lineInfo([{ name: SECTION_NAME, rows: lines }]),
      functionInfo([{ name: nameOffset('.text'), rows: functions }]),
    ]) {
      const survey = surveyObject(withSection(OBJECT, '.BTF.ext', ext));
      assert.deepEqual(verdicts(survey), { first: 'accept', second: 'accept' });
    }
  });

  it('that names the same long section again and again is refused with BTF_TOO_LARGE', () => {
    const types = btfBytes([{ kind: 'struct', name: 'x'.repeat(60_000) }]);
    const sections = Array.from({ length: MANY }, () => ({ name: 1, rows: [[0, 1]] }));
    const file = withSection(withSection(OBJECT, '.BTF', types), '.BTF.ext', functionInfo(sections));
    assert.throws(
      () => surveyObject(file),
      (error) => error instanceof BpfError && error.code === 'BTF_TOO_LARGE',
    );
  });

  it('whose source line is too long for a message has none', () => {
    const types = readBtf(btfBytes([{ kind: 'struct', name: `int ${'y'.repeat(70_000)};` }]));
    const [line] = readBtfExt(lineInfo([{ name: 0, rows: [[8, 0, 1, 3 << 10]] }]), types).lines.get('')!;
    assert.deepEqual([line!.offset, line!.line, line!.file, line!.text], [8, 3, '', '']);
  });
});

describe('types', () => {
  for (const [why, types] of [
    ['an id behind the last', [func(6), proto(999)]],
    ['a typedef of itself', [func(6), proto(7), { kind: 'typedef', name: 'loop', value: 7 }]],
    [
      'a pointer to a typedef of itself',
      [func(6), proto(7), { kind: 'ptr', value: 8 }, { kind: 'typedef', name: 'loop', value: 8 }],
    ],
    [
      'a pointer to const and volatile of each other',
      [func(6), proto(7), { kind: 'ptr', value: 8 }, { kind: 'const', value: 9 }, { kind: 'volatile', value: 8 }],
    ],
    [
      'a pointer to an array of itself',
      [func(6), proto(7), { kind: 'ptr', value: 8 }, { kind: 'array', words: [8, 1, 2] }],
    ],
    ['a function of itself', [func(5)]],
    [
      'a name of a million characters',
      [func(6), proto(7), { kind: 'ptr', value: 8 }, { kind: 'struct', name: 'x'.repeat(1_000_000) }],
    ],
  ] satisfies [string, TypeBytes[]][]) {
    // biome-ignore format: a row of types
    it(`refuses to call a global function whose argument is ${why}`, () => {
      assert.match(callOfGlobal(types), /^VERIFIER_BAD_(TYPES|ARGUMENT)$/);
    });
  }

  it('takes a number for an argument', () => {
    assert.equal(callOfGlobal([func(6), proto(1)]), 'accept');
  });

  it(`looks once for what ${MANY} tags are of`, () => {
    const tag: TypeBytes = { kind: 'decl_tag', name: 'arg:nonnull', value: 5, words: [0] };
    assert.equal(callOfGlobal([func(6), proto(1), ...Array.from({ length: MANY }, () => tag)]), 'accept');
  });

  it('looks once at each part of a value, however often it is one', () => {
    // 16 levels, each of 200 times the next: more ways than anybody could follow.
    const levels = Array.from({ length: 16 }, (_, level): TypeBytes => {
      const words = Array.from({ length: 200 }, () => [0, level + 6, 0]).flat();
      return { kind: 'struct', name: `level${level}`, vlen: 200, value: 8, words };
    });
    assert.equal(useOfMap([...levels, { kind: 'struct', name: 'end', value: 8 }]), 'accept');
    assert.equal(
      useOfMap([...levels.slice(0, 3), { kind: 'struct', name: 'bpf_timer', value: 8 }]),
      'VERIFIER_NOT_ALLOWED',
    );
    assert.equal(
      useOfMap([{ kind: 'struct', vlen: 1, value: 8, words: [0, 5, 0] }]),
      'accept',
      'a structure of itself',
    );
    assert.equal(useOfMap([{ kind: 'struct', vlen: 1, value: 8, words: [0, 999, 0] }]), 'VERIFIER_BAD_TYPES');
  });

  it('that are mutated give verdicts, or are refused with a code', () => {
    const sections = ['.BTF', '.BTF.ext'] as const;
    const edits = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 7, 0x7f, 0x80, 0xff)), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(fc.constantFrom(...sections), edits, (name, chosen) => {
        const file = OBJECT.slice();
        const { size } = ELF.section(name)!;
        for (const [at, byte] of chosen) patchSection(file, name, at % size, [byte]);
        try {
          verdicts(surveyObject(file));
        } catch (error) {
          if (!(error instanceof BpfError)) throw error;
        }
      }),
      { seed: 6, numRuns: RUNS },
    );
  });
});

/** Verdicts by program: accept, or the code of the refusal. */
function verdicts({ programs, maps, btf }: ObjectSurvey): Record<string, string> {
  return Object.fromEntries(
    programs.map((program) => {
      return [program.name, codeOf(verify(program, verifyOptions({ maps, type: 'uprobe', btf })))];
    }),
  );
}

/** Type 5: a function of the prototype of that id. */
function func(value: number): TypeBytes {
  return { kind: 'func', name: 'g', value };
}

/** Type 6: `int (argument)`. */
function proto(argument: number): TypeBytes {
  return { kind: 'func_proto', value: 1, vlen: 1, words: [0, argument] };
}

/** The verdict on a program that calls a global function of type 5 with a number. */
function callOfGlobal(types: readonly TypeBytes[]): string {
  const text = '== call\n    mov r1, 1\n    call local g\n    exit\n    g: mov r0, 0\n    exit\npost:\n';
  const { program } = parseCases(text)[0]!.subject;
  const [main, callee] = program.subprograms;
  const subprograms = [main!, { ...callee!, linkage: 'global' as const, type: BASICS.length + 1 }];
  const btf = readBtf(btfBytes([...BASICS, ...types]));
  return codeOf(verify({ ...program, subprograms }, verifyOptions({ maps: [], type: 'uprobe', btf })));
}

/** The verdict on a program that uses a map whose values are of type 5. */
function useOfMap(types: readonly TypeBytes[]): string {
  const { program } = parseCases('== use\n    map r1, array\n    mov r0, 0\n    exit\npost:\n')[0]!.subject;
  const maps = CASE_MAPS.map((map) => ({ ...map, valueTypeId: BASICS.length + 1 }));
  const btf = readBtf(btfBytes([...BASICS, ...types]));
  return codeOf(verify(program, verifyOptions({ maps, type: 'uprobe', btf })));
}

function codeOf(verdict: Verdict): string {
  return verdict.verdict === 'accept' ? 'accept' : verdict.error.code;
}

/** The offset of a text in the strings of the object. */
function nameOffset(name: string): number {
  for (let at = 0; at < BTF.stringsSize; at += BTF.text(at).length + 1) if (BTF.text(at) === name) return at;
  throw new Error(`no text '${name}'`);
}

function functionInfo(sections: readonly Rows[]): Uint8Array {
  return info({ functions: [8, ...sections.flatMap(wordsOf)] });
}

function lineInfo(sections: readonly Rows[]): Uint8Array {
  return info({ lines: [16, ...sections.flatMap(wordsOf)] });
}

function wordsOf({ name, rows, count = rows.length }: Rows): number[] {
  return [name, count, ...rows.flat()];
}

/** A .BTF.ext of these words. @param header fields that are to be others than those that fit */
function info(
  { functions = [], lines = [] }: { functions?: readonly number[]; lines?: readonly number[] },
  header: Partial<ReturnType<typeof BtfExtHeader.read>> = {},
): Uint8Array {
  const words = Uint32Array.from([...functions, ...lines]);
  const bytes = new Uint8Array(BtfExtHeader.size + words.byteLength);
  BtfExtHeader.write(bytes, 0, {
    magic: 0xeb9f,
    version: 1,
    flags: 0,
    headerSize: BtfExtHeader.size,
    functionsOffset: 0,
    functionsSize: functions.length * 4,
    linesOffset: functions.length * 4,
    linesSize: lines.length * 4,
    ...header,
  });
  bytes.set(new Uint8Array(words.buffer), BtfExtHeader.size);
  return bytes;
}
