/** tests/targets/zoo.c: functions of every kind of first instruction, each called with random registers on demand. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ControlFile } from './control-file.ts';
import { ROOT } from './root.ts';
import { compileTarget, type RunningTarget, startTarget } from './targets.ts';

/** struct control in zoo.c. */
const CONTROL = ['go', 'done', 'index', 'count', 'seed', 'flags', 'hash'] as const;

/** Carry, parity, adjust, zero, sign and overflow. */
export const ARITHMETIC_FLAGS = 0x8d5n;

/** Symbols of the functions, in the order of their numbers. */
export const ANIMALS: readonly string[] = [
  ...readFileSync(join(ROOT, 'tests/targets/zoo.c'), 'utf8').matchAll(/ANIMAL\((\w+), "/g),
].map((match) => `zoo_${match[1]}`);

export class ZooTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #control = new ControlFile(CONTROL);

  constructor() {
    this.target = startTarget(compileTarget('zoo'), [this.#control.path]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /**
   * Calls a function `count` times.
   *
   * @param flags those that the caller cares for afterwards
   * @returns a hash of all registers, flags and memory that it left behind, every time
   */
  run(symbol: string, { count, seed, flags }: { count: number; seed: bigint; flags: bigint }): bigint {
    const values = { index: BigInt(ANIMALS.indexOf(symbol)), count: BigInt(count), seed, flags };
    for (const [word, value] of Object.entries(values)) this.#control.set(word as keyof typeof values, value);
    this.#control.step('go');
    this.#control.finish(this.target);
    return this.#control.get('hash');
  }

  [Symbol.dispose](): void {
    this.target.stop();
    this.#control[Symbol.dispose]();
  }
}
