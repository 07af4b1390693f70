/** A file of u64 words that a target maps too: how a test tells it what to do, and what it tells the test. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningTarget, waitUntil } from './targets.ts';

/** Targets map one page. */
const SIZE = 4096;

/** Words by the names they have in the target's struct control, in its order. */
export class ControlFile<const Word extends string> implements Disposable {
  readonly path: string;
  readonly #words: readonly Word[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-control-'));
  readonly #fd: number;

  constructor(words: readonly Word[]) {
    this.#words = words;
    this.path = join(this.#folder, 'control');
    writeFileSync(this.path, new Uint8Array(SIZE));
    this.#fd = openSync(this.path, 'r+');
  }

  get(word: Word): bigint {
    const bytes = new BigUint64Array(1);
    readSync(this.#fd, bytes, 0, 8, this.#offset(word));
    return bytes[0]!;
  }

  set(word: Word, value: bigint): void {
    writeSync(this.#fd, BigUint64Array.of(value), 0, 8, this.#offset(word));
  }

  /** Adds one to a word that the target only reads. */
  step(word: Word): void {
    this.set(word, this.get(word) + 1n);
  }

  /** True once the target has done what the last step of `go` asked for. */
  isDone(this: ControlFile<'go' | 'done' | Word>): boolean {
    return this.get('done') === this.get('go');
  }

  /** Waits until `isDone`. @throws Error if the target dies first, or takes a minute */
  finish(this: ControlFile<'go' | 'done' | Word>, target: RunningTarget): void {
    waitUntil('the step is done', () => this.isDone() || !target.isRunning(), 60_000);
    if (!target.isRunning()) throw new Error(`the target died: ${target.output()}`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.#folder, { recursive: true });
  }

  #offset(word: Word): number {
    return 8 * this.#words.indexOf(word);
  }
}
