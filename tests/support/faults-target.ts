/**
 * Targets in which things happen around a probe: tests/targets/faults.c and its kin, which work while `go` is 1 and have the
 * same variables to say what came of it.
 */
import { openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from './code-hash.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';
import { readVariable, writeVariable } from './variables.ts';

export class FaultsTarget implements Disposable {
  readonly running: RunningTarget;
  readonly target: TargetProcess;
  readonly #code: Record<string, string>;

  /** Its name, as places have it. */
  readonly program: string;

  constructor(mode: string, threads = 0, program = 'faults') {
    this.program = program;
    this.running = startTarget(compileTarget(program), [mode, String(threads)]);
    this.#code = codeHashes(this.running.pid);
    this.target = openProcess(this.running.pid);
  }

  get(variable: string): bigint {
    return readVariable(this.target, this.program, variable);
  }

  set(variable: string, value: bigint): void {
    writeVariable(this.target, this.program, variable, value);
  }

  start(): void {
    this.set('go', 1n);
  }

  /** Ends what `start` began, and waits until every thread stands. */
  stop(): void {
    this.set('go', 0n);
    waitUntil('all threads stand', () => this.get('working') === 0n, 20_000);
    waitUntil('the main thread stands', () => this.get('busy') === 0n, 20_000);
  }

  /** Works until `count` of `variable` are there. */
  runUntil(variable: string, count: bigint): void {
    this.start();
    waitUntil(`${variable} is ${count}`, () => this.get(variable) >= count || !this.running.isRunning(), 120_000);
    this.stop();
  }

  /** Executable mappings of the beginning that are not as they were, by name; new ones may be libraries. */
  changedCode(): string[] {
    const now = codeHashes(this.running.pid);
    return Object.keys(this.#code).filter((key) => now[key] !== this.#code[key]);
  }

  [Symbol.dispose](): void {
    this.target[Symbol.dispose]();
    this.running.stop();
  }
}
