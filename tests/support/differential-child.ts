/**
 * The child of the differential test: makes random programs, runs each in the interpreter and as native code in itself,
 * and tells where they differ. A program that kills it is found by who sent the seeds.
 */
import { ExecutableMemory } from '../../src/sys/executable-memory.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { checkBare, nativeCode } from './compiling.ts';
import { randomProgram } from './random-program.ts';

/** Seeds `from` and on, `count` of them. */
export interface Seeds {
  readonly from: number;
  readonly count: number;
}

/** A program that the engines do not agree on, or that one of them refused. */
export interface Difference {
  readonly seed: number;
  readonly what: string;
}

/** Most programs are short, so that there can be many; one in 64 is long enough to run out of registers. */
export function sizeOf(seed: number): number {
  return seed % 64 === 0 ? 200 : 4 + (seed % 16);
}

const CODE_SIZE = 1 << 20;

function compare(seed: number, place: ExecutableMemory): string | undefined {
  const { insns, memory } = randomProgram(seed, sizeOf(seed));
  const interpreted = memory.slice();
  const program = checkBare(insns);
  const expected = new Interpreter(program).run(interpreted);
  const native = memory.slice();
  const actual = place.run(nativeCode(program, place.address), native);
  if (actual !== expected) return `r0 is 0x${actual.toString(16)}, interpreted 0x${expected.toString(16)}`;
  const at = native.findIndex((byte, index) => byte !== interpreted[index]);
  return at < 0 ? undefined : `memory byte ${at} is ${native[at]}, interpreted ${interpreted[at]}`;
}

if (process.send !== undefined) {
  const place = new ExecutableMemory(CODE_SIZE);
  process.on('message', ({ from, count }: Seeds) => {
    const differences: Difference[] = [];
    for (let seed = from; seed < from + count; seed++) {
      try {
        const what = compare(seed, place);
        if (what !== undefined) differences.push({ seed, what });
      } catch (error) {
        differences.push({ seed, what: String(error) });
      }
    }
    process.send!(differences);
  });
}
