/** Controllers in processes of their own that attach a program and go when they are told to: asked-controller.ts. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const CONTROLLER = join(import.meta.dirname, 'asked-controller.js');

export class AskedController {
  readonly #child: ChildProcess;
  #said = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.on('data', (text) => {
      this.#said += text;
    });
  }

  /** Resolves when its program is attached. @param program of an object of tests/objects: its name, and the program's */
  static async attach(pid: number, place: string, program: readonly string[] = []): Promise<AskedController> {
    const args = [CONTROLLER, String(pid), place, ...program];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const controller = new AskedController(child);
    await once(child.stdout!, 'data');
    return controller;
  }

  /** Has it detach. @returns what it counted */
  async leave(): Promise<bigint> {
    this.#child.stdin!.end('\n');
    await once(this.#child, 'close');
    const { hits, ...refusal } = JSON.parse(this.#said.split('\n')[1] || '{}');
    assert.deepEqual(refusal, {});
    return BigInt(hits);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await once(this.#child, 'close');
  }
}
