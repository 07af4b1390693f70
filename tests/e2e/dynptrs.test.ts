/** Dynptrs in a live process and in the interpreter: the kernel's numbers, and the bytes that they leave. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HELPERS } from '../../src/helpers/table.ts';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { readObject } from '../../src/object/read-object.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { InterpreterWorld } from '../../src/vm/world.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { COMPILERS, type Compiler, objectFile } from '../support/objects.ts';

const [E2BIG, EINVAL] = [-7n, -22n];

/** What a program finds, in the order of `results` in dynptrs.bpf.c. */
const EXPECTED: Readonly<Record<string, readonly bigint[]>> = {
  on_ring: [EINVAL, EINVAL, 1n, EINVAL, E2BIG, 0n, 0n, E2BIG, E2BIG, EINVAL, 1n, 0n],
  on_value: [EINVAL, EINVAL, 0n, 0n, 0n, 0n, 0n, wordOf('dabcdef\0'), E2BIG, EINVAL, 0n],
};
const TEXT = 'cdabcdefghijklmnmno';
const RECORD = '887766554433221107000000000000000900000000000000';

function run(compiler: Compiler, program: string, look: (object: BpfObject) => void): void {
  using target = new CallsTarget(1);
  using process = openProcess(target.pid);
  using object = openObject(objectFile('dynptrs', compiler));
  const link = object.program(program).attachUprobe(process, 'calls:work');
  target.call(1);
  assert.equal(link.hits, 1n);
  look(object);
}

function interpret(compiler: Compiler, name: string): InterpreterWorld {
  const { programs, maps } = readObject(objectFile('dynptrs', compiler));
  const world = new InterpreterWorld(maps);
  new Interpreter(programs.find((one) => one.name === name)!, { world, helpers: HELPERS }).run(new Uint8Array(168));
  return world;
}

for (const compiler of COMPILERS) {
  describe(`dynptrs, ${compiler}`, () => {
    for (const [program, expected] of Object.entries(EXPECTED)) {
      it(`${program}: natively`, { skip: CANNOT_TRACE }, () => {
        run(compiler, program, (object) => {
          const entries = object.map('results').entries();
          const results = entries.map(({ value }) => BigInt.asIntN(64, BigInt(value as number | string)));
          assert.deepEqual(results.slice(0, expected.length), expected);
          const [text] = object.map('texts').entries();
          if (program === 'on_value') assert.equal((text!.value as { bytes: string }).bytes, TEXT);
          if (program === 'on_ring') {
            const records: string[] = [];
            object.map('ring').events!.consume((bytes, at, size) => {
              records.push(Buffer.from(bytes.slice(at, at + size)).toString('hex'));
            });
            assert.deepEqual(records, [RECORD]);
          }
        });
      });

      it(`${program}: in the interpreter`, () => {
        const world = interpret(compiler, program);
        const results = [...world.map('results').entries()].map(([, value]) => Buffer.from(value).readBigInt64LE());
        assert.deepEqual(results.slice(0, expected.length), expected);
        const [text] = [...world.map('texts').entries()];
        if (program === 'on_value') assert.equal(Buffer.from(text![1]).toString('latin1'), TEXT.padEnd(32, '\0'));
      });
    }
  });
}

function wordOf(text: string): bigint {
  return Buffer.from(text, 'latin1').readBigInt64LE();
}
