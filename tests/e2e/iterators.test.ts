/** Loops of open-coded iterators: in a live process and in the interpreter, with the numbers that the kernel gives. */
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
const MOST = 2n ** 31n - 1n;
const LEAST = -(2n ** 31n);

/** What a program finds, in the order of `results` in iterators.bpf.c. */
const EXPECTED: Readonly<Record<string, readonly bigint[]>> = {
  on_loops: [0n, 10n, nested(), 1240n, 1n, 0n],
  on_bounds: [EINVAL, 1n, E2BIG, 1n, E2BIG, 0n, 0n, 0n, LEAST, 1n, 1n, 0n, 1n, 4096n, MOST - 1n],
};

/** What the loop in a loop adds up, as JavaScript does. */
function nested(): bigint {
  let sum = 0;
  for (let i = 0; i < 7; i++) if (i !== 3) for (let j = 0; j < i; j++) sum += i * 100 + j;
  return BigInt(sum);
}

for (const compiler of COMPILERS) {
  describe(`iterators, ${compiler}`, () => {
    for (const [program, expected] of Object.entries(EXPECTED)) {
      it(`${program}: natively`, { skip: CANNOT_TRACE }, () => {
        using target = new CallsTarget(1);
        using process = openProcess(target.pid);
        using object = openObject(objectFile('iterators', compiler));
        const link = object.program(program).attachUprobe(process, 'calls:work');
        target.call(1);
        assert.equal(link.hits, 1n);
        const results = object
          .map('results')
          .entries()
          .map(({ value }) => BigInt.asIntN(64, BigInt(value as number | string)));
        assert.deepEqual(results.slice(0, expected.length), expected);
      });

      it(`${program}: in the interpreter`, () => {
        assert.deepEqual(interpret(compiler, program).slice(0, expected.length), expected);
      });
    }
  });
}

function interpret(compiler: Compiler, name: string): bigint[] {
  const { programs, maps } = readObject(objectFile('iterators', compiler));
  const program = programs.find((one) => one.name === name)!;
  const world = new InterpreterWorld(maps);
  new Interpreter(program, { world, helpers: HELPERS }).run(new Uint8Array(168));
  return [...world.map('results').entries()].map(([, value]) => Buffer.from(value).readBigInt64LE());
}
