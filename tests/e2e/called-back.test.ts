/** Functions of programs that helpers call: in a live process and in the interpreter, with the numbers that the kernel gives. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HELPERS } from '../../src/helpers/table.ts';
import { openObject, openProcess } from '../../src/index.ts';
import { readObject } from '../../src/object/read-object.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { InterpreterWorld } from '../../src/vm/world.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { COMPILERS, type Compiler, objectFile } from '../support/objects.ts';

const [E2BIG, EINVAL] = [-7n, -22n];
/** What `fill` puts into each map: 0 to 59, and ten times that. */
const FILLED = 60n;
const KEYS = (FILLED * (FILLED - 1n)) / 2n;
const SLOTS = 192n;

/** What a program finds, in the order of `results` in calling-back.bpf.c. */
const EXPECTED: Readonly<Record<string, readonly bigint[]>> = {
  on_call: [100n, 4950n, 10n, 120n, 7n, 0n, E2BIG, EINVAL, 7n],
  on_maps: [
    ...[10n, 45_009n, 4n, 6004n],
    ...[FILLED, 9n * KEYS, FILLED, 9n * KEYS, FILLED, 9n * KEYS, FILLED, 9n * KEYS],
    ...[6n, EINVAL],
  ],
  on_changes: [FILLED, 9n * KEYS + FILLED, FILLED, FILLED * 100_000n + 10n * KEYS, 0n, FILLED],
  on_slots: [200n, 50n, 200n - SLOTS],
};

const PROGRAMS = COMPILERS.flatMap((compiler) => Object.keys(EXPECTED).map((program) => [compiler, program] as const));

describe('functions that helpers call back', () => {
  for (const [compiler, program] of PROGRAMS) {
    const expected = EXPECTED[program]!;

    it(`${program} of ${compiler}: natively`, { skip: CANNOT_TRACE }, () => {
      using target = new CallsTarget(1);
      using process = openProcess(target.pid);
      using object = openObject(objectFile('calling-back', compiler));
      const link = object.program(program).attachUprobe(process, 'calls:work');
      target.call(1);
      assert.equal(link.hits, 1n);
      const results = object
        .map('results')
        .entries()
        .map(({ value }) => BigInt.asIntN(64, BigInt(value as number | string)));
      assert.deepEqual(results.slice(0, expected.length), expected);
    });

    it(`${program} of ${compiler}: in the interpreter`, () => {
      assert.deepEqual(interpret(compiler, program).slice(0, expected.length), expected);
    });
  }
});

function interpret(compiler: Compiler, name: string): bigint[] {
  const { programs, maps } = readObject(objectFile('calling-back', compiler));
  const program = programs.find((one) => one.name === name)!;
  const world = new InterpreterWorld(maps);
  new Interpreter(program, { world, helpers: HELPERS }).run(new Uint8Array(168));
  return [...world.map('results').entries()].map(([, value]) => Buffer.from(value).readBigInt64LE());
}
