/** Another program that traces a thread and does nothing more (hold.ts), until it is disposed of. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { readStatus } from '../../src/sys/proc.ts';
import { waitUntil } from './targets.ts';

const HOLD = join(import.meta.dirname, 'hold.js');

export class Debugger implements Disposable {
  readonly #tid: number;
  readonly #child: ChildProcess;

  /** Returns when it has stopped the thread. */
  constructor(tid: number) {
    this.#tid = tid;
    this.#child = spawn(process.execPath, [HOLD, String(tid)], { stdio: ['pipe', 'pipe', 'inherit'] });
    waitUntil('it is traced', () => readStatus(tid).tracer === this.#child.pid, 20_000);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    waitUntil('it is not traced', () => readStatus(this.#tid).tracer === 0, 20_000);
  }
}
