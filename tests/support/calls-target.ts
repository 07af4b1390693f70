/** tests/targets/calls.c: threads that call four functions and check the results, driven through a mapped file. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

/** Functions that each call of a thread makes, once each. */
export const CALLED = ['work', 'work_push', 'work_nops', 'work_keyed'] as const;

/** Offsets of struct control in calls.c. */
const Control = { go: 0, calls: 8, done: 16, wrong: 24, total: 32, size: 4096 } as const;

export class CallsTarget implements Disposable {
  readonly path: string;
  readonly target: RunningTarget;
  readonly #threads: number;
  readonly #folder: string;
  readonly #fd: number;
  #rounds = 0n;

  constructor(threads: number) {
    this.#threads = threads;
    this.#folder = mkdtempSync(join(tmpdir(), 'remora-calls-'));
    const control = join(this.#folder, 'control');
    writeFileSync(control, new Uint8Array(Control.size));
    this.#fd = openSync(control, 'r+');
    this.path = compileTarget('calls');
    this.target = startTarget(this.path, [control, String(threads)]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Has every thread make `calls` calls of each function, and waits until all are made. */
  call(calls: number): void {
    this.#step(BigInt(calls));
    this.#await();
  }

  /** Has every thread call without end. */
  start(): void {
    this.#step(0n);
  }

  /** Ends what `start` began, and waits until every thread stands. */
  stop(): void {
    // Threads that see `go` step end their round; the next one is of no calls worth counting.
    this.#write(Control.calls, 1n);
    this.#write(Control.go, this.#read(Control.go) + 1n);
    this.#rounds += 2n;
    this.#await();
  }

  /** Calls of each function so far, all threads together. */
  get total(): bigint {
    return this.#read(Control.total);
  }

  /** Results that were not what they should be. */
  get wrong(): bigint {
    return this.#read(Control.wrong);
  }

  [Symbol.dispose](): void {
    this.target.stop();
    closeSync(this.#fd);
    rmSync(this.#folder, { recursive: true });
  }

  #step(calls: bigint): void {
    this.#write(Control.calls, calls);
    this.#write(Control.go, this.#read(Control.go) + 1n);
    if (calls !== 0n) this.#rounds += 1n;
  }

  #await(): void {
    const done = this.#rounds * BigInt(this.#threads);
    waitUntil('all threads made their calls', () => this.#read(Control.done) === done, 60_000);
  }

  #read(offset: number): bigint {
    const bytes = new BigUint64Array(1);
    readSync(this.#fd, bytes, 0, 8, offset);
    return bytes[0]!;
  }

  #write(offset: number, value: bigint): void {
    writeSync(this.#fd, BigUint64Array.of(value), 0, 8, offset);
  }
}
