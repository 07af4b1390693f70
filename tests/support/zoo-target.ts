/** tests/targets/zoo.c: functions of every kind of first instruction, each called with random registers on demand. */
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './root.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

/** Offsets of struct control in zoo.c. */
const Control = { go: 0, done: 8, index: 16, count: 24, seed: 32, flags: 40, hash: 48, size: 4096 } as const;

/** Carry, parity, adjust, zero, sign and overflow. */
export const ARITHMETIC_FLAGS = 0x8d5n;

/** Symbols of the functions, in the order of their numbers. */
export const ANIMALS: readonly string[] = [
  ...readFileSync(join(ROOT, 'tests/targets/zoo.c'), 'utf8').matchAll(/ANIMAL\((\w+), "/g),
].map((match) => `zoo_${match[1]}`);

export class ZooTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-zoo-'));
  readonly #fd: number;
  #steps = 0n;

  constructor() {
    const control = join(this.#folder, 'control');
    writeFileSync(control, new Uint8Array(Control.size));
    this.#fd = openSync(control, 'r+');
    this.target = startTarget(compileTarget('zoo'), [control]);
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
    for (const [field, value] of Object.entries(values)) this.#write(Control[field as keyof typeof values], value);
    this.#write(Control.go, ++this.#steps);
    waitUntil(`${symbol} was called`, () => this.#read(Control.done) === this.#steps || !this.target.isRunning());
    if (!this.target.isRunning()) throw new Error(`the target died in ${symbol}`);
    return this.#read(Control.hash);
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
