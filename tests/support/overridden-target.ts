/** tests/targets/overridden.c: calls two functions for each step, driven through a mapped file. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

/** Offsets of struct control in overridden.c. */
const Control = { go: 0, done: 8, a: 16, b: 24, result: 32, calls: 40, wrong: 48, size: 4096 } as const;

export class OverriddenTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #folder: string;
  readonly #fd: number;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'remora-overridden-'));
    const control = join(this.#folder, 'control');
    writeFileSync(control, new Uint8Array(Control.size));
    this.#fd = openSync(control, 'r+');
    this.target = startTarget(compileTarget('overridden'), [control]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Calls combine(a, b). @returns what came back */
  call(a: bigint, b: bigint): bigint {
    this.#write(Control.a, a);
    this.#write(Control.b, b);
    this.#write(Control.go, this.#read(Control.go) + 1n);
    const done = () => this.#read(Control.done) === this.#read(Control.go) || !this.target.isRunning();
    waitUntil('the call is made', done, 60_000);
    if (!this.target.isRunning()) throw new Error(`the target died: ${this.target.output()}`);
    return this.#read(Control.result);
  }

  /** Has four threads call `recursive`, and check what comes back. */
  callFromThreads(is: 'overridden' | 'as usual'): void {
    this.call(0xffff_ffff_ffff_ffffn, is === 'overridden' ? 1n : 0n);
  }

  /** How often the body of `combine` ran. */
  get calls(): bigint {
    return this.#read(Control.calls);
  }

  get wrong(): bigint {
    return this.#read(Control.wrong);
  }

  [Symbol.dispose](): void {
    this.target.stop();
    closeSync(this.#fd);
    rmSync(this.#folder, { recursive: true });
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
