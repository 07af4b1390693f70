import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapDeleteElem, mapLookupElem, mapUpdateElem } from '../helpers/map-elem.ts';
import { assemble } from '../insn/assemble.ts';
import { subprogramStarts } from '../insn/control-flow.ts';
import { array } from '../maps/array.ts';
import { hash } from '../maps/hash.ts';
import type { LinkedProgram, Reference } from '../object/spec.ts';
import { VmError, type VmErrorCode } from './errors.ts';
import { Interpreter, type InterpreterOptions } from './interpreter.ts';
import { InterpreterWorld } from './world.ts';

function program(text: string, references: Record<number, Reference> = {}): LinkedProgram {
  const insns = assemble(text);
  return {
    name: 'test',
    section: '',
    insns,
    references: new Map(Object.entries(references).map(([index, reference]) => [Number(index), reference])),
    subprograms: subprogramStarts(insns).map((start) => ({ name: `f${start}`, start, linkage: 'static' })),
    lines: new Map(),
  };
}

const run = (text: string, memory = new Uint8Array(0), options: InterpreterOptions = {}): bigint =>
  new Interpreter(program(text), options).run(memory);

describe('Interpreter', () => {
  it('gives the address of the memory in r1 and its size in r2', () => {
    assert.equal(run('mov r0, r2\nexit', new Uint8Array(24)), 24n);
    assert.equal(run('mov r0, r1\nexit', new Uint8Array(1), { memoryAddress: 0x1234n }), 0x1234n);
    assert.equal(run('mov r0, r1\nexit'), 0n);
  });

  it('writes into the memory it is given', () => {
    const memory = new Uint8Array(4);
    run('sth [r1+1], 0x1122\nmov r0, 0\nexit', memory);
    assert.deepEqual([...memory], [0, 0x22, 0x11, 0]);
  });

  it('gives each call a zeroed frame of its own, and r6 to r10 back after it', () => {
    const text = `
      stdw [r10-8], 1
      mov r6, 2
      call local f
      ldxdw r1, [r10-8]
      add r0, r1
      add r0, r6
      exit
      f: ldxdw r0, [r10-8]
      stdw [r10-8], 100
      mov r6, 200
      exit`;
    assert.equal(run(text), 3n);
  });

  it('runs again from a clean state', () => {
    const interpreter = new Interpreter(program('ldxdw r0, [r10-8]\nstdw [r10-8], 1\nexit'));
    assert.deepEqual([interpreter.run(new Uint8Array(0)), interpreter.run(new Uint8Array(0))], [0n, 0n]);
  });

  for (const [what, text, code, message] of [
    [
      'a load behind the memory',
      'ldxw r0, [r1+5]\nexit',
      'VM_BAD_ACCESS',
      "slot 0 'r0 = *(u32 *)(r1 + 5)': 4 bytes at 0x300000000005",
    ],
    ['a load before the memory', 'ldxb r0, [r1-1]\nexit', 'VM_BAD_ACCESS', '1 bytes'],
    ['a load of address 0', 'mov r1, 0\nldxb r0, [r1+0]\nexit', 'VM_BAD_ACCESS', 'at 0x0'],
    ['an address that wraps', 'mov r1, -1\nldxdw r0, [r1+4]\nexit', 'VM_BAD_ACCESS', 'at 0x3'],
    ['a store below the frame', 'stdw [r10-520], 0\nexit', 'VM_BAD_ACCESS', '8 bytes'],
    [
      'the frame of a function that has returned',
      'call local f\nldxb r0, [r0-1]\nexit\nf: mov r0, r10\nexit',
      'VM_BAD_ACCESS',
      'slot 1',
    ],
    ['an endless loop', 'ja -1', 'VM_STEP_LIMIT', '10000000'],
    ['endless recursion', 'f: call local f\nexit', 'VM_STACK_OVERFLOW', '9 frames'],
    ['a helper nobody has', 'call 5\nexit', 'VM_UNKNOWN_HELPER', 'unknown#5'],
    ['a kernel function', 'call kfunc 5, 0\nexit', 'VM_UNSUPPORTED', 'kernel function 5'],
  ] satisfies [string, string, VmErrorCode, string][]) {
    it(`stops at ${what} with ${code}`, () => {
      assert.throws(
        () => run(text, new Uint8Array(8)),
        (error) => error instanceof VmError && error.code === code && error.message.includes(message),
      );
    });
  }

  it('leaves nothing mapped behind a failure', () => {
    const world = new InterpreterWorld();
    assert.throws(() => run('call local f\nexit\nf: mov r0, r10\nldxb r0, [r0+0]\nexit', new Uint8Array(8), { world }));
    assert.throws(() => world.memory.view(0x3000_0000_0000n, 1), { code: 'VM_BAD_ACCESS' });
    assert.throws(() => world.memory.view(0x7000_0000_0000n - 8n, 8), { code: 'VM_BAD_ACCESS' });
  });
});

describe('Interpreter with maps', () => {
  const COUNTS = {
    name: 'counts',
    type: array.id,
    keySize: 4,
    valueSize: 8,
    maxEntries: 4,
    flags: 0,
    keyTypeId: 0,
    valueTypeId: 0,
  };
  const HELPERS = new Map([mapLookupElem, mapUpdateElem, mapDeleteElem].map((helper) => [helper.id, helper]));
  const key = (index: number): Uint8Array => Uint8Array.of(index, 0, 0, 0);
  const value = (number: number): Uint8Array => new Uint8Array(new BigUint64Array([BigInt(number)]).buffer);

  const COUNT = `
    stw [r10-4], 1
    mov r2, r10
    add r2, -4
    lddw map_fd r1, 0
    call 1
    jeq r0, 0, exit
    mov r1, 1
    lock add [r0+0], r1
    mov r0, 0
    exit`;

  it('counts through the address a lookup gives', () => {
    const world = new InterpreterWorld([COUNTS]);
    const interpreter = new Interpreter(program(COUNT, { 3: { kind: 'map', map: 'counts' } }), {
      world,
      helpers: HELPERS,
    });
    for (let hit = 0; hit < 3; hit++) interpreter.run(new Uint8Array(0));
    assert.deepEqual(world.map('counts').lookup(key(1)), value(3));
  });

  it('sees through that address what happens to the map', () => {
    const world = new InterpreterWorld([COUNTS]);
    const map = world.resolve({ kind: 'map', map: 'counts' });
    const address = world.mapLookup(map, key(2));
    world.memory.write(address, 8, 7n);
    assert.equal(world.mapUpdate(map, key(3), value(9), 0n), 0);
    assert.deepEqual(world.map('counts').lookup(key(2)), value(7));
    world.mapUpdate(map, key(2), value(8), 0n);
    assert.equal(world.memory.read(address, 8), 8n);
    assert.equal(world.mapLookup(map, key(9)), 0n);
  });

  it('keeps an address readable when its entry is deleted, and cuts it off from the map', () => {
    const world = new InterpreterWorld([{ ...COUNTS, type: hash.id }]);
    const map = world.resolve({ kind: 'map', map: 'counts' });
    world.mapUpdate(map, key(1), value(5), 0n);
    const address = world.mapLookup(map, key(1));
    assert.equal(world.mapDelete(map, key(1)), 0);
    assert.equal(world.memory.read(address, 8), 5n);
    world.memory.write(address, 8, 6n);
    world.mapUpdate(map, key(1), value(7), 0n);
    assert.deepEqual(world.map('counts').lookup(key(1)), value(7));
  });

  it('reads data sections at their address', () => {
    const data = { ...COUNTS, name: '.data', maxEntries: 1, initialValue: value(42) };
    const reference = { kind: 'mapValue', map: '.data', offset: 0 } as const;
    const world = new InterpreterWorld([data]);
    const reads = program('lddw map_fd_value r1, 0\nldxdw r0, [r1+0]\nexit', { 0: reference });
    assert.equal(new Interpreter(reads, { world }).run(new Uint8Array(0)), 42n);
  });

  it('refuses what is no map', () => {
    const world = new InterpreterWorld([COUNTS]);
    assert.throws(() => world.mapLookup(5n, key(0)), { code: 'VM_BAD_MAP' });
    assert.throws(() => world.resolve({ kind: 'map', map: 'other' }), { code: 'VM_BAD_MAP' });
  });
});
