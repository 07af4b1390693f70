/** Programs that go on in place of others: emitted code and the interpreter do the same, and what the kernel would. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bareOptions } from '../../tests/support/compiling.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { COMPILERS, type Compiler, objectFile } from '../../tests/support/objects.ts';
import { PtRegs, ptRegsAtEntry } from '../arch/x64/pt-regs.ts';
import { Reg } from '../arch/x64/registers.ts';
import { viewOf } from '../bytes/struct.ts';
import type { BpfError } from '../errors.ts';
import { HELPERS } from '../helpers/table.ts';
import { MAX_TAIL_CALLS } from '../helpers/tail-call.ts';
import { assemble } from '../insn/assemble.ts';
import type { MapMemory, MapSpec } from '../maps/map-type.ts';
import { mapMemory } from '../maps/memory.ts';
import { mapTypeOf } from '../maps/table.ts';
import { readObject } from '../object/read-object.ts';
import type { ObjectSpec } from '../object/spec.ts';
import { bareProgram } from '../verifier/bare-program.ts';
import { checkStructure, type VerifiedProgram } from '../verifier/check-structure.ts';
import { kindOfSection } from '../verifier/program-kind.ts';
import { verify } from '../verifier/verify.ts';
import { Interpreter } from '../vm/interpreter.ts';
import { InterpreterWorld } from '../vm/world.ts';
import type { ContextModel } from './context-model.ts';
import { programArrays, type TailCallOptions } from './tail-callees.ts';
import { compileForSite } from './to-ir.ts';

const SITE = 0x40_1000n;
const COOKIE = 77n;
const FIRST_MAP = 0x7f00_0000_0000n;
const MAP_DISTANCE = 0x1000_0000n;
const MODEL: ContextModel = {
  struct: PtRegs,
  fields: ptRegsAtEntry(SITE),
  functionIp: { in: 'copy' },
};

function verified(spec: ObjectSpec): VerifiedProgram[] {
  const maps = new Map(spec.maps.map((map) => [map.name, map]));
  return spec.programs.map((program) => {
    const kind = kindOfSection(program.section);
    const verdict = verify(program, { kind, helpers: HELPERS, maps, btf: spec.btf, allow: new Set() });
    if (verdict.verdict === 'reject') throw verdict.error;
    return verdict.program;
  });
}

/** Puts programs where the object says. */
function fill(spec: MapSpec, memory: MapMemory, programs: readonly VerifiedProgram[]): void {
  const host = mapTypeOf(spec).host(memory, spec);
  for (const { index, name } of spec.initialSlots ?? []) {
    const number = 1 + programs.findIndex((program) => program.name === name);
    assert.equal(host.update(word(index), word(number), 0n), 0);
  }
}

const word = (number: number): Uint8Array => new Uint8Array(Uint32Array.of(number).buffer);

/** An object's maps and programs, as both engines run them. */
class Scene {
  readonly programs: readonly VerifiedProgram[];
  readonly maps: readonly { readonly spec: MapSpec; readonly address: bigint; readonly memory: MapMemory }[];
  readonly #tailCalls: TailCallOptions;

  constructor(compiler: Compiler, leaveOut: TailCallOptions['leaveOut'] = (_, error) => assert.fail(error)) {
    const spec = readObject(objectFile('tail-calls', compiler));
    this.programs = verified(spec);
    this.maps = spec.maps.map((map, index) => {
      const memory = mapMemory(new Uint8Array(mapTypeOf(map).size(map)));
      mapTypeOf(map).init(memory, map);
      fill(map, memory, this.programs);
      return { spec: map, address: FIRST_MAP + BigInt(index) * MAP_DISTANCE, memory };
    });
    this.#tailCalls = { arrays: programArrays(this.programs, spec.maps, HELPERS), leaveOut };
  }

  program(name: string): VerifiedProgram {
    return this.programs.find((program) => program.name === name)!;
  }

  map(name: string) {
    return this.maps.find(({ spec }) => spec.name === name)!;
  }

  /** Runs emitted code. @returns r0 */
  run(name: string, argument: bigint): bigint {
    const fn = compileForSite(this.program(name), MODEL, {
      ...bareOptions(HELPERS),
      maps: new Map(this.maps.map((map) => [map.spec.name, map])),
      attachCookie: COOKIE,
      tailCalls: this.#tailCalls,
    });
    return evaluate(fn, {
      memory: regions(...this.maps.map(({ address, memory: { bytes } }) => ({ address, bytes }))),
      site: (source) => {
        if (source.in === 'constant') return source.value;
        if (source.in === 'register') return source.register === Reg.RDI ? argument : 0x1234n;
        return source.in === 'copy' ? SITE : 0x7ffe_0000_0000n;
      },
    });
  }

  /** Runs the interpreter, in a world of its own. @returns r0, and what it counted */
  interpret(name: string, argument: bigint): { readonly r0: bigint; readonly seen: readonly number[] } {
    const specs = this.maps.map(({ spec }) => spec);
    const world = new InterpreterWorld(specs, { attachCookie: COOKIE });
    const jumps = this.map('jumps').spec;
    for (const { index, name: held } of jumps.initialSlots!) {
      const number = 1 + this.programs.findIndex((program) => program.name === held);
      assert.equal(world.map('jumps').update(word(index), word(number), 0n), 0);
    }
    const interpreter = new Interpreter(this.program(name), { helpers: HELPERS, world, programs: this.programs });
    const registers = new Uint8Array(PtRegs.size);
    viewOf(registers).setBigUint64(PtRegs.offsetOf.di, argument, true);
    return { r0: interpreter.run(registers), seen: counts([...world.map('seen').entries()].map(([, value]) => value)) };
  }

  /** What programs counted, and nothing is counted then. */
  takeSeen(): readonly number[] {
    const { spec, memory } = this.map('seen');
    const seen = counts([...mapTypeOf(spec).host(memory, spec).entries()].map(([, value]) => value));
    memory.bytes.fill(0);
    return seen;
  }
}

function counts(values: readonly Uint8Array[]): number[] {
  return values.map((value) => Number(viewOf(value).getBigUint64(0, true)));
}

/** In the order of tests/objects/tail-calls.bpf.c. */
const [MAIN, CAME_BACK, STAY, AGAIN, AGAIN_BACK, HOP, , CONTEXT, LEAVE, LEAVE_BACK, AROUND, RETURNED] = Array.from(
  { length: 12 },
  (_, index) => index,
) as [number, number, number, number, number, number, number, number, number, number, number, number];

/** What a run of each place returns, and what it counts beside the program that begins. */
const OUTCOMES: readonly (readonly [what: string, at: bigint, r0: bigint, seen: Readonly<Record<number, number>>])[] = [
  ['a program that ends', 0n, 2n, { [STAY]: 1 }],
  [`a program that goes on in itself, ${MAX_TAIL_CALLS} times`, 1n, 3n, { [AGAIN]: 33, [AGAIN_BACK]: 1 }],
  ['a program that goes on in another', 2n, 2n, { [HOP]: 1, [STAY]: 1 }],
  ['a program that sees the context, the function and the cookie', 5n, 5n, { [CONTEXT]: 1 }],
  ['a program that is in two places', 6n, 2n, { [STAY]: 1 }],
];

/** @param counted what is not 0 */
function listOf(counted: Readonly<Record<number, number>>): number[] {
  return Array.from({ length: 16 }, (_, index) => counted[index] ?? 0);
}

for (const compiler of COMPILERS) {
  describe(`tail calls of ${compiler}`, () => {
    const scene = new Scene(compiler);
    const check = (name: string, at: bigint, r0: bigint, counted: Readonly<Record<number, number>>) => {
      assert.equal(scene.run(name, at), r0);
      assert.deepEqual(scene.takeSeen(), listOf(counted));
      assert.deepEqual(scene.interpret(name, at), { r0, seen: listOf(counted) });
    };

    for (const [what, at, r0, counted] of OUTCOMES) {
      it(`lead to ${what}`, () => check('on_visit', at, r0, { [MAIN]: 1, ...counted }));
      it(`of a function lead to ${what}, and its caller goes on`, () =>
        check('around', at, r0, { [LEAVE]: 1, ...counted, [AROUND]: 1, [RETURNED]: Number(r0) }));
    }
    for (const [what, at] of [
      ['empty', 3n],
      ['not there', 7n],
    ] as const) {
      it(`come back from a place that is ${what}`, () => check('on_visit', at, 1n, { [MAIN]: 1, [CAME_BACK]: 1 }));
    }
    it('of a function come back to it', () =>
      check('around', 4n, 6n, { [LEAVE]: 1, [LEAVE_BACK]: 1, [AROUND]: 1, [RETURNED]: 6 }));

    it('end the run where the map has a number that is no program of it, whoever wrote it', () => {
      const hostile = new Scene(compiler);
      const { memory } = hostile.map('jumps');
      const around = 1 + hostile.programs.findIndex(({ name }) => name === 'around');
      for (const number of [around, hostile.programs.length + 1, 0x7fff_ffff, -1]) {
        memory.halves.fill(number);
        assert.equal(hostile.run('on_visit', 0n), 0n);
        assert.deepEqual(hostile.takeSeen(), listOf({ [MAIN]: 1 }), `${number}`);
      }
    });
  });
}

describe('programs that may go on', () => {
  const spec = (name: string): MapSpec => ({
    ...{ name, type: 3, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0, keyTypeId: 0, valueTypeId: 0 },
  });
  const program = (name: string, section: string, text: string, usesMap: 'jumps' | undefined): VerifiedProgram => {
    const references = new Map(usesMap === undefined ? [] : [[0, { kind: 'map', map: usesMap } as const]]);
    const bare = { ...bareProgram(name, assemble(text), references), section };
    return checkStructure(bare, { helpers: HELPERS, arguments: 1 });
  };
  const tail = 'lddw %r2, 0\nmov %r3, 0\ncall 12\nmov %r0, 0\nexit';
  const user = program('user', 'uprobe', tail, 'jumps');

  for (const [what, other, reason] of [
    ['one of the same kind', program('a', 'uretprobe', 'mov %r0, 0\nexit', undefined), undefined],
    [
      'one of another kind',
      program('b', 'tracepoint/x', 'mov %r0, 0\nexit', undefined),
      /it is a tracepoint, and user/,
    ],
    ['one that answers calls', program('c', 'uprobe', 'mov %r2, 0\ncall 58\nexit', undefined), /it answers calls/],
    [
      'one whose functions make tail calls',
      program('d', 'uprobe', `lddw %r2, 0\ncall local f\nexit\nf: mov %r3, 0\ncall 12\nmov %r0, 0\nexit`, 'jumps'),
      /it can be attached only/,
    ],
  ] as const) {
    it(`${reason === undefined ? 'are' : 'are not'}: ${what}`, () => {
      const array = programArrays([other, user], [spec('jumps')], HELPERS).get('jumps')!;
      if (reason === undefined) assert.equal(array.whyNot(other), undefined);
      else assert.match(array.whyNot(other)!, reason);
      assert.equal(array.isOurLimit(other), what === 'one whose functions make tail calls');
      assert.deepEqual(
        array.callees.map(({ number }) => number),
        reason === undefined ? [1, 2] : [2],
      );
    });
  }

  it('are left out, with the reason, where they cannot be compiled', () => {
    const left: string[] = [];
    const wide = { ...program('wide', 'uprobe', 'mov %r0, 0\nexit', undefined), contextSize: 1000 } as VerifiedProgram;
    const tailCalls: TailCallOptions = {
      arrays: programArrays([user, wide], [spec('jumps')], HELPERS),
      leaveOut: ({ name }, error: BpfError) => left.push(`${name}: ${error.code}`),
    };
    const maps = new Map([['jumps', { spec: spec('jumps'), address: FIRST_MAP }]]);
    compileForSite(user, MODEL, { ...bareOptions(HELPERS), maps, tailCalls });
    assert.deepEqual(left, ['wide: COMPILE_CONTEXT_TOO_SMALL']);
  });
});
