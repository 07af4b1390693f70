/** Compiles and drives `target/bench-target.c`, the process whose functions are called. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { ROOT } from '../tests/support/root.ts';

/** What the threads besides the measured one do. */
export type Activity = 'idle' | 'calling';

/** Cost of one call in one measurement, over its blocks; with several threads, that of the slower one. */
export interface CallTime {
  /** In ns. */
  readonly min: number;
  readonly median: number;
  /** Calls made by all, warm-up included. */
  readonly calls: number;
}

/** The compiled target, and the least that its threads can be stopped in, in a folder that disposing removes. */
export class TargetBinary implements Disposable {
  readonly path: string;
  readonly floorPath: string;
  readonly #folder: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'remora-bench-'));
    this.path = this.#compile('bench-target');
    this.floorPath = this.#compile('ptrace-floor');
  }

  #compile(name: string): string {
    const path = join(this.#folder, name);
    const source = join(ROOT, 'benchmarks/target', `${name}.c`);
    execFileSync('gcc', ['-O2', '-pthread', '-o', path, source], { stdio: ['ignore', 'ignore', 'inherit'] });
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A running target. It ends when disposed, or with us: its stdin closes. */
export class BenchTarget implements Disposable {
  readonly pid: number;
  /** The executable. */
  readonly path: string;
  readonly #input: Writable;
  readonly #answers: AsyncIterator<string>;

  private constructor(pid: number, path: string, input: Writable, answers: AsyncIterator<string>) {
    this.pid = pid;
    this.path = path;
    this.#input = input;
    this.#answers = answers;
  }

  /** @param threads how many in all; the first is the one that is measured */
  static async start(path: string, threads = 1, activity: Activity = 'idle'): Promise<BenchTarget> {
    const child = spawn(path, [String(threads), activity], { stdio: ['pipe', 'pipe', 'inherit'] });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const [pid] = await answer(answers, 'ready');
    return new BenchTarget(pid!, path, child.stdin, answers);
  }

  /** Calls `symbol` for about `milliseconds`, from so many threads at a time. */
  async measure(symbol: string, milliseconds: number, threads = 1): Promise<CallTime> {
    this.#input.write(`measure ${symbol} ${milliseconds} ${threads}\n`);
    const [min, median, calls] = await answer(this.#answers, 'measured');
    return { min: min!, median: median!, calls: calls! };
  }

  /** Calls `symbol` so many times a microsecond in each of the threads. @returns how many calls there were */
  async pace(symbol: string, perUs: number, milliseconds: number, threads: number): Promise<number> {
    this.#input.write(`pace ${symbol} ${perUs} ${milliseconds} ${threads}\n`);
    const [calls] = await answer(this.#answers, 'paced');
    return calls!;
  }

  /** Runs `action` and tells the longest time, in microseconds, that the first thread stood still meanwhile. */
  async watch(action: () => void): Promise<number> {
    this.#input.write('watch\n');
    await answer(this.#answers, 'watching');
    action();
    this.#input.write('stop\n');
    const [longest] = await answer(this.#answers, 'longest');
    return longest!;
  }

  [Symbol.dispose](): void {
    this.#input.end();
  }
}

/** The numbers behind the word `verb` on the target's next line. */
async function answer(answers: AsyncIterator<string>, verb: string): Promise<number[]> {
  const next = await answers.next();
  const [word, ...numbers] = next.done ? ['nothing: it has ended'] : next.value.split(' ');
  if (word !== verb) throw new Error(`cannot read the target's answer: it said ${word}, wanted ${verb}`);
  return numbers.map(Number);
}
