/** tests/targets/overridden.c: calls three functions for each step, driven through a mapped file. */
import { ControlFile } from './control-file.ts';
import { compileTarget, type RunningTarget, startTarget } from './targets.ts';

/** struct control in overridden.c. */
const CONTROL = ['go', 'done', 'a', 'b', 'result', 'calls', 'wrong', 'sum', 'sum_calls'] as const;

export class OverriddenTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #control = new ControlFile(CONTROL);

  constructor() {
    this.target = startTarget(compileTarget('overridden'), [this.#control.path]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Calls combine(a, b), and sum(a, b) too. @returns what came back of the first */
  call(a: bigint, b: bigint): bigint {
    this.#control.set('a', a);
    this.#control.set('b', b);
    this.#control.step('go');
    this.#control.finish(this.target);
    return this.#control.get('result');
  }

  /** Has four threads call `recursive`, and check what comes back. */
  callFromThreads(is: 'overridden' | 'as usual'): void {
    this.call(0xffff_ffff_ffff_ffffn, is === 'overridden' ? 1n : 0n);
  }

  /** How often the body of `combine` ran. */
  get calls(): bigint {
    return this.#control.get('calls');
  }

  /** What the last call of `sum` gave. */
  get sum(): bigint {
    return this.#control.get('sum');
  }

  /** How often the body of `sum` ran. */
  get sumCalls(): bigint {
    return this.#control.get('sum_calls');
  }

  get wrong(): bigint {
    return this.#control.get('wrong');
  }

  [Symbol.dispose](): void {
    this.target.stop();
    this.#control[Symbol.dispose]();
  }
}
