/**
 * tests/targets/odd.c: a process that is not as others, entered or not. What it calls and how often is driven through its
 * memory, so that it can be looked at where it cannot be entered.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { readElf } from '../../src/elf/elf-file.ts';
import { openObject, openProcess } from '../../src/index.ts';
import { readMaps } from '../../src/sys/proc-maps.ts';
import { ProcessMemory } from '../../src/sys/process-memory.ts';
import { codeHashes } from './code-hash.ts';
import { objectFile } from './objects.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

export class OddTarget implements Disposable {
  readonly running: RunningTarget;
  /** The process that is meant: one that the program has started, or the program itself. */
  readonly pid: number;
  readonly #memory: ProcessMemory;
  readonly #addressOf: (symbol: string) => bigint;
  readonly #before: unknown;
  readonly #code: Record<string, string>;

  constructor(args: readonly string[], { command = [compileTarget('odd')], pidOf = (pid: number) => pid } = {}) {
    const [path, ...first] = command as [string, ...string[]];
    this.running = startTarget(path, [...first, ...args]);
    this.pid = pidOf(this.running.pid);
    this.#memory = new ProcessMemory(this.pid);
    const program = readMaps(this.pid).find(({ path: mapped }) => mapped.endsWith('/odd'))!;
    const elf = readElf(new Uint8Array(readFileSync(compileTarget('odd'))));
    this.#addressOf = (symbol) => program.start + elf.findSymbol(symbol)!.value;
    this.#before = this.footprint();
    this.#code = codeHashes(this.pid);
  }

  /** Has it make that many calls, and waits until they are made. */
  call(count: number): void {
    const limit = this.get('calls') + BigInt(count);
    this.set('limit', limit);
    waitUntil(`it makes ${count} calls`, () => this.get('calls') === limit, 20_000);
  }

  get(variable: string): bigint {
    return new DataView(this.#memory.read(this.#addressOf(variable), 8).buffer).getBigUint64(0, true);
  }

  set(variable: string, value: bigint): void {
    this.#memory.write(this.#addressOf(variable), new Uint8Array(BigUint64Array.of(value).buffer));
  }

  /** Executable mappings of the beginning that are not as they were, by name. */
  changedCode(): string[] {
    const now = codeHashes(this.pid);
    return Object.keys(this.#code).filter((key) => now[key] !== this.#code[key]);
  }

  /** What an attach may change: mappings, the bytes of code, descriptors. */
  footprint(): unknown {
    const mappings = readMaps(this.pid).map(
      ({ start, end, permissions, path }) => `${start}-${end} ${permissions} ${path}`,
    );
    return { mappings, code: codeHashes(this.pid), descriptors: readdirSync(`/proc/${this.pid}/fd`) };
  }

  /** What `footprint` was at the beginning. */
  get before(): unknown {
    return this.#before;
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
    this.running.stop();
  }
}

/** Attached, counted exactly at the entry and at the return, and left as it was. */
export function isCounted(odd: OddTarget, place = 'odd:work'): void {
  {
    using target = openProcess(odd.pid);
    using object = openObject(objectFile('count'));
    const entry = object.program('on_call').attachUprobe(target, place);
    odd.call(1000);
    assert.equal(entry.hits, 1000n);
    const exit = object.program('on_call').attachUretprobe(target, place);
    odd.call(1000);
    assert.deepEqual([entry.hits, exit.hits], [2000n, 1000n]);
  }
  odd.call(100);
  assert.deepEqual(odd.footprint(), odd.before);
  assert.equal(odd.get('wrong'), 0n);
}
