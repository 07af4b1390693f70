/** tests/targets/failing.c: makes calls that are to fail, and says what came back. */
import { ControlFile } from './control-file.ts';
import { compileTarget, type RunningTarget, startTarget } from './targets.ts';

/** How many calls a step makes. */
export const TRIES = 20;
const RESULTS = Array.from({ length: TRIES }, (_, n) => `result${n}` as const);
/** struct control in failing.c. */
const CONTROL = ['go', 'done', 'kind', 'failed', ...RESULTS] as const;

/** By number, as the target knows them. */
const KINDS = ['open', 'getppid', 'answer', 'threads'] as const;

export class FailingTarget implements Disposable {
  readonly target: RunningTarget;
  readonly #control = new ControlFile(CONTROL);

  constructor() {
    this.target = startTarget(compileTarget('failing'), [this.#control.path]);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Makes the calls. @returns what came back: error numbers of system calls, or 0; what the function gave */
  run(kind: (typeof KINDS)[number]): readonly number[] {
    this.#control.set('kind', BigInt(KINDS.indexOf(kind)));
    this.#control.step('go');
    this.#control.finish(this.target);
    return RESULTS.map((word) => Number(BigInt.asIntN(64, this.#control.get(word))));
  }

  /** How many calls of threads have failed. */
  get failed(): number {
    return Number(this.#control.get('failed'));
  }

  [Symbol.dispose](): void {
    this.target.stop();
    this.#control[Symbol.dispose]();
  }
}
