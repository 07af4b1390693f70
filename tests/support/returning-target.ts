/** tests/targets/returning.c and throwing.cc: one scenario at a time, driven through a mapped file. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

/** Offsets of struct control in returning.h. */
const Control = { go: 0, done: 8, wrong: 16, calls: 24, size: 4096 } as const;

export class ReturningTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #folder: string;
  readonly #fd: number;

  constructor(program: 'returning' | 'throwing', scenario: string) {
    this.#folder = mkdtempSync(join(tmpdir(), 'remora-returning-'));
    const control = join(this.#folder, 'control');
    writeFileSync(control, new Uint8Array(Control.size));
    this.#fd = openSync(control, 'r+');
    this.target = startTarget(compileTarget(program), [control, scenario]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Begins the scenario once more. */
  start(): void {
    writeSync(this.#fd, BigUint64Array.of(this.#read(Control.go) + 1n), 0, 8, Control.go);
  }

  /** Runs the scenario to its end. @returns calls of probed functions it made */
  run(): bigint {
    const before = this.calls;
    this.start();
    this.finish();
    return this.calls - before;
  }

  /** Waits for the end of what `start` began. */
  finish(): void {
    waitUntil(
      'the scenario has ended',
      () => this.#read(Control.done) === this.#read(Control.go) || !this.target.isRunning(),
      60_000,
    );
    if (!this.target.isRunning()) throw new Error(`the target died: ${this.target.output()}`);
  }

  get wrong(): bigint {
    return this.#read(Control.wrong);
  }

  get calls(): bigint {
    return this.#read(Control.calls);
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
}
