/**
 * Whether a thread runs, asked again and again in little time. Source: proc(5), /proc/PID/syscall, which begins with 'running' for
 * a thread that does, else with the call it waits in.
 */
import { closeSync, openSync } from 'node:fs';
import { tryLibc } from './libc.ts';

const RUNNING = 'r'.charCodeAt(0);
const SIZE = 8;

export class ThreadActivity implements Disposable {
  readonly #fd: number;
  readonly #text = new Uint8Array(SIZE);

  /** @throws if the thread is gone, or may not be looked at */
  constructor(tid: number) {
    this.#fd = openSync(`/proc/${tid}/syscall`, 'r');
  }

  /** False if it waits or stands still; undefined if that cannot be told. */
  isRunning(): boolean | undefined {
    const size = tryLibc('pread', this.#fd, this.#text, SIZE, 0);
    return size > 0 ? this.#text[0] === RUNNING : undefined;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
