/** tests/targets/crowd.c: threads, and signal handlers in them, that visit a function. */
import { EnteredTarget } from './entered.ts';
import { waitUntil } from './targets.ts';

export class Crowd extends EnteredTarget {
  readonly #threads: number;
  #steps = 0;

  constructor(threads: number, share: number) {
    super('crowd', [String(threads), String(share)]);
    this.#threads = threads;
  }

  /** Lets all threads visit. @returns how many visits there were, those of signal handlers among them */
  run(): bigint {
    const before = this.counter('visits');
    this.set('go', ++this.#steps);
    waitUntil('all are through', () => this.counter('finished') === BigInt(this.#threads * this.#steps), 60_000);
    return this.counter('visits') - before;
  }
}
