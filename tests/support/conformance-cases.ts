/** The cases of the bpf_conformance suite as data, for every engine that runs them; see tests/conformance/data. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Helper } from '../../src/helpers/helper.ts';
import { ROOT } from './root.ts';

/** A program that must return `expected`. */
export interface ConformanceCase {
  readonly name: string;
  /** As the suite writes it. */
  readonly assembly: string;
  /** As the suite's own assembler encodes it. */
  readonly code: Uint8Array;
  /** r1 is its address, r2 its size. */
  readonly memory: Uint8Array;
  readonly expected: bigint;
}

/** One `.data` file, read; a section that is not there is undefined. */
export interface DataFile {
  readonly assembly: string | undefined;
  readonly code: Uint8Array | undefined;
  readonly memory: Uint8Array;
  readonly expected: bigint | undefined;
}

interface Assembled {
  readonly name: string;
  readonly code: string;
  readonly mem: string;
  readonly expected: string;
}

const DATA = join(ROOT, 'tests/conformance/data');

/** Lines that begin a section; those that hold nothing we use are known all the same. */
const SECTIONS: readonly string[] = ['asm', 'raw', 'mem', 'result', 'error', 'c', 'no register offset'];

/** Every case that must run. */
export const CONFORMANCE_CASES: readonly ConformanceCase[] = (
  JSON.parse(readFileSync(join(DATA, 'assembled.json'), 'utf8')) as Assembled[]
).map(({ name, code, mem, expected }) => {
  const { assembly } = readDataFile(readFileSync(join(DATA, 'tests', `${name}.data`), 'utf8'));
  if (assembly === undefined) throw new Error(`${name}.data has no program`);
  return { name, assembly, code: fromHex(code), memory: fromHex(mem), expected: BigInt(expected) };
});

/** The text of every file that must not pass, by name. */
export const NEGATIVE_CASES: ReadonlyMap<string, string> = new Map(
  readdirSync(join(DATA, 'negative')).map((file) => [
    file.replace(/\.data$/, ''),
    readFileSync(join(DATA, 'negative', file), 'utf8'),
  ]),
);

/** The one helper the suite calls: number 5, which is to return. */
export const CONFORMANCE_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [
    5,
    {
      id: 5,
      name: 'bpf_ktime_get_ns',
      args: [],
      returns: 'scalar',
      requires: [],
      run: () => 0n,
      emit: (b) => b.const(0n),
    },
  ],
]);

/** Reads a `.data` file. @throws Error if it has a section the suite does not know */
export function readDataFile(text: string): DataFile {
  const sections = new Map<string, string>();
  let current: string | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('-- ')) {
      current = line.slice(3).trim();
      if (!SECTIONS.includes(current)) throw new Error(`unknown section '${current}'`);
      sections.set(current, '');
    } else if (current !== undefined) {
      sections.set(current, `${sections.get(current)}${line}\n`);
    }
  }
  const raw = sections.get('raw');
  const result = sections.get('result');
  return {
    assembly: sections.get('asm'),
    code: raw === undefined ? undefined : fromHex(raw),
    memory: fromHex(sections.get('mem') ?? ''),
    expected: result === undefined ? undefined : BigInt(result.trim()),
  };
}

/** Bytes in hex, or 64-bit words as in 0x0000000000000095; comments begin with #. */
function fromHex(text: string): Uint8Array {
  const digits = text
    .replace(/#.*/g, '')
    .split(/\s+/)
    .map((word) => (word.startsWith('0x') ? Buffer.from(word.slice(2), 'hex').reverse().toString('hex') : word));
  return new Uint8Array(Buffer.from(digits.join(''), 'hex'));
}
