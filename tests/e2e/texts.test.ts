/** Text that programs make and read, and what they learn of their task: natively, beside the interpreter where that knows it. */
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

const [ENOENT, EFAULT, EINVAL] = [-2n, -14n, -22n];
/** What bpf_snprintf leaves, and the length that it gives where the text was cut. */
const TEXTS: readonly (readonly [text: string, length?: number])[] = [
  ['plain 100%'],
  ['-1 4294967295 beef BEEF'],
  ['-9223372036854775808 18446744073709551615 10000000000'],
  ['[   42|42   |-0042|+7| 7]'],
  ['1234 0000000000001234'],
  ['ab[  c|d  ]'],
  ['<word>'],
  ['<    word|word    |word>'],
  ['cut 123', 24],
  ['', 2],
  ['<>'],
  ['123456789101112'],
];
const LINES = TEXTS.map(([text, length = text.length + 1]) => [length, text]);

const RESULTS: Readonly<Record<string, readonly bigint[]>> = {
  on_numbers: [5n, -31n, 3n, 77n, EINVAL, ENOENT],
  on_print: [17n],
};

function run(compiler: Compiler, program: string, look: (object: BpfObject) => void): void {
  using target = new CallsTarget(1);
  using process = openProcess(target.pid);
  using object = openObject(objectFile('texts', compiler));
  const link = object.program(program).attachUprobe(process, 'calls:work');
  target.call(1);
  assert.equal(link.hits, 1n);
  look(object);
}

function interpret(compiler: Compiler, name: string, print?: (text: string) => void): InterpreterWorld {
  const { programs, maps } = readObject(objectFile('texts', compiler));
  const world = new InterpreterWorld(maps, print && { print });
  const program = programs.find((one) => one.name === name)!;
  new Interpreter(program, { world, helpers: HELPERS }).run(new Uint8Array(168));
  return world;
}

function resultsOf(object: BpfObject): bigint[] {
  const entries = object.map('results').entries();
  return entries.map(({ value }) => BigInt.asIntN(64, BigInt(value as number | string)));
}

for (const compiler of COMPILERS) {
  describe(`texts, ${compiler}`, { skip: CANNOT_TRACE }, () => {
    it('are made by bpf_snprintf as the kernel does', () => {
      run(compiler, 'on_lines', (object) => {
        const entries = object.map('lines').entries().slice(0, LINES.length);
        const lines = entries.map(({ value }) => {
          const { length, text } = value as { length: number; text: string };
          return [length, text];
        });
        assert.deepEqual(lines, LINES);
      });
    });

    it('are the same in the interpreter', () => {
      const entries = [...interpret(compiler, 'on_lines').map('lines').entries()].slice(0, LINES.length);
      const lines = entries.map(([, value]) => {
        const bytes = Buffer.from(value);
        return [Number(bytes.readBigInt64LE()), bytes.toString('latin1', 8, bytes.indexOf(0, 8))];
      });
      assert.deepEqual(lines, LINES);
    });

    it('are printed by bpf_trace_vprintk with more than three arguments; what has too few is lost, and told', () => {
      run(compiler, 'on_print', (object) => {
        assert.deepEqual(object.readPrintk(), ['1 2 3 4 5 word']);
        assert.deepEqual(resultsOf(object).slice(0, 1), RESULTS.on_print);
      });
      const printed: string[] = [];
      interpret(compiler, 'on_print', (text) => printed.push(text));
      assert.deepEqual(printed, ['1 2 3 4 5 word']);
    });

    it('are read as numbers', () => {
      run(compiler, 'on_numbers', (object) => {
        assert.deepEqual(resultsOf(object).slice(0, 6), RESULTS.on_numbers);
      });
      const entries = [...interpret(compiler, 'on_numbers').map('results').entries()].slice(0, 6);
      assert.deepEqual(
        entries.map(([, value]) => Buffer.from(value).readBigInt64LE()),
        RESULTS.on_numbers,
      );
    });

    it('registers, stack and memory of the current task are those of the probe', () => {
      run(compiler, 'on_task', (object) => {
        const results = resultsOf(object);
        assert.deepEqual(results.slice(0, 8), [1n, 16n, 1n, 0n, 1n, EFAULT, 0n, EINVAL]);
        assert.ok(results[8]! >= 0n && results[8]! < 1024n);
        assert.equal(results[9], 1n);
      });
    });
  });
}
