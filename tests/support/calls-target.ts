/** tests/targets/calls.c: threads that call five functions and check the results, driven through a mapped file. */
import { ControlFile } from './control-file.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

/** Functions that each call of a thread makes, once each. */
export const CALLED = ['work', 'work_push', 'work_nops', 'work_keyed', 'work_brief'] as const;

/** struct control in calls.c. */
const CONTROL = ['go', 'calls', 'done', 'wrong', 'total', 'begun'] as const;

export class CallsTarget implements Disposable {
  readonly path: string;
  readonly target: RunningTarget;
  readonly #threads: number;
  readonly #control = new ControlFile(CONTROL);
  #rounds = 0n;
  #steps = 0n;

  /**
   * @param launcher a program, and its arguments, that starts another in its own place
   * @param path what `compileTarget` made of calls.c
   */
  constructor(threads: number, launcher: readonly string[] = [], path = compileTarget('calls')) {
    this.#threads = threads;
    this.path = path;
    const [command, ...args] = [...launcher, this.path, this.#control.path, String(threads)];
    this.target = startTarget(command!, args);
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
    // A thread that has not seen `start` would take both for one.
    this.#awaitThreads('begun', this.#steps);
    // Threads that see `go` step end their round; the next one is of no calls worth counting.
    this.#step(1n);
    this.#rounds += 1n;
    this.#await();
  }

  /** Calls of each function so far, all threads together. */
  get total(): bigint {
    return this.#control.get('total');
  }

  /** Results that were not what they should be. */
  get wrong(): bigint {
    return this.#control.get('wrong');
  }

  [Symbol.dispose](): void {
    this.target.stop();
    this.#control[Symbol.dispose]();
  }

  #step(calls: bigint): void {
    this.#control.set('calls', calls);
    this.#control.step('go');
    this.#steps += 1n;
    if (calls !== 0n) this.#rounds += 1n;
  }

  #await(): void {
    this.#awaitThreads('done', this.#rounds);
  }

  #awaitThreads(what: 'begun' | 'done', times: bigint): void {
    const wanted = times * BigInt(this.#threads);
    waitUntil(`all threads have ${what}`, () => this.#control.get(what) === wanted, 60_000);
  }
}
