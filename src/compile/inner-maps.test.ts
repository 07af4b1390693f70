/** Programs that get maps out of maps: emitted code and the interpreter do the same, and any number in the map does no harm. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bareOptions } from '../../tests/support/compiling.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { COMPILERS, type Compiler, objectFile } from '../../tests/support/objects.ts';
import { PtRegs } from '../arch/x64/pt-regs.ts';
import { toHex } from '../bytes/hex.ts';
import { viewOf } from '../bytes/struct.ts';
import { HELPERS } from '../helpers/table.ts';
import type { HostMap } from '../maps/map-type.ts';
import { mapMemory } from '../maps/memory.ts';
import { mapTypeOf } from '../maps/table.ts';
import { readObject } from '../object/read-object.ts';
import { PROGRAM_KINDS } from '../verifier/program-kind.ts';
import { verify } from '../verifier/verify.ts';
import { Interpreter } from '../vm/interpreter.ts';
import { InterpreterWorld } from '../vm/world.ts';
import { compileFunction } from './to-ir.ts';

const FIRST_MAP = 0x7f00_0000_0000n;
const MAP_DISTANCE = 0x1000_0000n;
const CONTEXT = 0x7e00_0000_0000n;
const word = (number: number): Uint8Array => new Uint8Array(Uint32Array.of(number).buffer);

/** The program and maps of tests/objects/map-in-map.bpf.c. */
function scene(compiler: Compiler) {
  const spec = readObject(objectFile('map-in-map', compiler));
  const verdict = verify(spec.programs[0]!, {
    ...{ kind: PROGRAM_KINDS.uprobe, helpers: HELPERS, btf: spec.btf, allow: new Set() },
    maps: new Map(spec.maps.map((map) => [map.name, map])),
  });
  assert.ok(verdict.verdict === 'accept');
  const { program } = verdict;
  const maps = spec.maps.map((map, index) => {
    const memory = mapMemory(new Uint8Array(mapTypeOf(map).size(map)));
    mapTypeOf(map).init(memory, map);
    return { spec: map, address: FIRST_MAP + BigInt(index) * MAP_DISTANCE, memory };
  });
  const fill = (name: string, host: HostMap): void => {
    for (const slot of spec.maps.find((map) => map.name === name)!.initialSlots ?? []) {
      const number = 1 + spec.maps.findIndex((map) => map.name === slot.name);
      assert.equal(host.update(word(slot.index), word(number), 0n), 0);
    }
  };
  const hostOf = (name: string): HostMap => {
    const { spec: map, memory } = maps.find((one) => one.spec.name === name)!;
    return mapTypeOf(map).host(memory, map);
  };
  const world = new InterpreterWorld(spec.maps);
  for (const name of ['chosen', 'named']) {
    fill(name, hostOf(name));
    fill(name, world.map(name));
  }
  const options = { ...bareOptions(HELPERS), maps: new Map(maps.map((map) => [map.spec.name, map])) };
  const fn = compileFunction(program, options);
  return {
    maps,
    hostOf,
    world,
    names: spec.maps.map(({ name }) => name),
    run(argument: bigint): bigint {
      const bytes = contextOf(argument);
      const memory = regions(...maps.map((map) => ({ ...map, bytes: map.memory.bytes })), { address: CONTEXT, bytes });
      return evaluate(fn, { memory, args: [CONTEXT, BigInt(bytes.length)] });
    },
    interpret: (argument: bigint) => new Interpreter(program, { helpers: HELPERS, world }).run(contextOf(argument)),
  };
}

function contextOf(argument: bigint): Uint8Array {
  const bytes = new Uint8Array(PtRegs.size);
  viewOf(bytes).setBigUint64(PtRegs.offsetOf.di, argument, true);
  return bytes;
}

const listing = (host: HostMap): string[] => [...host.entries()].map(([k, v]) => `${toHex(k)} ${toHex(v)}`).sort();

for (const compiler of COMPILERS) {
  describe(`maps out of maps, ${compiler}`, () => {
    it('are what the interpreter finds', () => {
      const { run, interpret, hostOf, world, names } = scene(compiler);
      for (const argument of [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 2n, 6n, 3n]) {
        assert.equal(run(argument), interpret(argument));
        for (const name of names) assert.deepEqual(listing(hostOf(name)), listing(world.map(name)), name);
      }
      assert.equal(
        listing(hostOf('second')).find((entry) => entry.startsWith('03')),
        '03000000 0400000000000000',
      );
    });

    it('are none where a number is that of no map of the shape, whoever wrote it', () => {
      const { run, hostOf, maps, names } = scene(compiler);
      const chosen = maps.find(({ spec }) => spec.name === 'chosen')!.memory;
      const values = () =>
        names.filter((name) => name !== 'chosen' && name !== 'outcomes').map((name) => listing(hostOf(name)));
      for (const name of ['even', 'odd']) assert.equal(hostOf('named').delete(word(name === 'even' ? 0 : 1)), 0);
      const before = values();
      const right = ['first', 'second'].map((name) => 1 + names.indexOf(name));
      fc.assert(
        fc.property(fc.oneof(fc.nat(12), fc.nat(2 ** 32 - 1)), fc.bigInt(0n, 7n), (number, argument) => {
          fc.pre(!right.includes(number));
          chosen.halves.fill(number | 0);
          run(argument);
          assert.deepEqual(values(), before);
        }),
      );
    });
  });
}
