/** tests/targets/sleeping.c: a program whose threads wait in every way there is, and say whether a wait ended as it should. */
import { ControlFile } from './control-file.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';

/** Room for rows, as in the target. */
const MOST = 32;
/** struct control in sleeping.c; then `waits` and `interrupted` of each row. */
const WORDS = ['end', 'done', 'wrong', 'rows'] as const;
const COUNTS = ['waits', 'interrupted'] as const;
const OF_ROWS = COUNTS.flatMap((count) => Array.from({ length: MOST }, (_, row) => `${count} ${row}` as const));
/** So many rows are sent signals. */
const SENT_SIGNALS = 5;
/** How long a loaded machine may take. */
const TIMEOUT_MS = 60_000;

export class SleepingTarget implements Disposable {
  readonly #control = new ControlFile([...WORDS, ...OF_ROWS]);
  readonly #target: RunningTarget = startTarget(compileTarget('sleeping'), [this.#control.path]);

  get pid(): number {
    return this.#target.pid;
  }

  /** How many waits ended too early, or by a signal that nobody sent. */
  get wrong(): bigint {
    return this.#control.get('wrong');
  }

  /** Has every thread wait until it has ended a wait from now on, those that are sent signals also by one; then all end. */
  finish(): void {
    const rows = Array.from({ length: Number(this.#control.get('rows')) }, (_, row) => row);
    const counts = (count: (typeof COUNTS)[number]) => rows.map((row) => this.#control.get(`${count} ${row}`));
    const [waits, interrupted] = [counts('waits'), counts('interrupted')];
    const grown = (before: readonly bigint[], now: readonly bigint[]) =>
      now.filter((count, row) => count > before[row]!);
    waitUntil(
      'every thread has waited once more',
      () =>
        grown(waits, counts('waits')).length === rows.length &&
        grown(interrupted, counts('interrupted')).length === SENT_SIGNALS,
      TIMEOUT_MS,
    );
    this.#control.set('end', 1n);
    waitUntil('all have ended', () => this.#control.get('done') === 1n, TIMEOUT_MS);
  }

  [Symbol.dispose](): void {
    this.#target.stop();
    this.#control[Symbol.dispose]();
  }
}
