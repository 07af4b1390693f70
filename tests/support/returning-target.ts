/** tests/targets/returning.c, throwing.cc, calling.c, changing.c, chain.c and allocating.c: one scenario at a time, driven through a mapped file. */
import { ControlFile } from './control-file.ts';
import { compileTarget, type RunningTarget, startTarget } from './targets.ts';

/** struct control in returning.h. */
const CONTROL = ['go', 'done', 'wrong', 'calls'] as const;

export class ReturningTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #control = new ControlFile(CONTROL);

  constructor(program: 'returning' | 'throwing' | 'calling' | 'changing' | 'chain' | 'allocating', scenario: string) {
    this.target = startTarget(compileTarget(program), [this.#control.path, scenario]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Begins the scenario once more. */
  start(): void {
    this.#control.step('go');
  }

  /** Runs the scenario to its end. @returns calls of probed functions it made */
  run(): bigint {
    const before = this.calls;
    this.start();
    this.finish();
    return this.calls - before;
  }

  /** True if what `start` began has ended. */
  get isDone(): boolean {
    return this.#control.isDone();
  }

  /** Waits for the end of what `start` began. */
  finish(): void {
    this.#control.finish(this.target);
  }

  get wrong(): bigint {
    return this.#control.get('wrong');
  }

  get calls(): bigint {
    return this.#control.get('calls');
  }

  [Symbol.dispose](): void {
    this.target.stop();
    this.#control[Symbol.dispose]();
  }
}
