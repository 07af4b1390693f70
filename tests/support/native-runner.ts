/**
 * Runs generated machine code for tests, in a child process: never in the test runner itself. Batches make it fast, a
 * program that kills the child is found by running its batch again one by one.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** Where all code must be made to lie; free in any process, in practice. */
export const CODE_ADDRESS = 0x1000_0000_0000n;
export const CODE_SIZE = 1 << 20;

/** Code made for CODE_ADDRESS, called as `uint64_t f(void *memory, uint64_t size)`. */
export interface NativeProgram {
  readonly code: Uint8Array;
  readonly memory: Uint8Array;
}

export interface NativeResult {
  readonly result: bigint;
  /** As the program left it. */
  readonly memory: Uint8Array;
}

/** How the child ended: a signal, or 'timeout'. */
export interface NativeDeath {
  readonly died: string;
}

export type NativeOutcome = NativeResult | NativeDeath;

export class NativeRunner implements Disposable {
  readonly #timeLimit: number;
  #child: ChildProcess | undefined;

  /** @param timeLimit for one batch, in milliseconds */
  constructor(timeLimit = 20_000) {
    this.#timeLimit = timeLimit;
  }

  /** One outcome a program, in order. Do not call again before it has settled. */
  async run(programs: readonly NativeProgram[]): Promise<NativeOutcome[]> {
    const outcome = await this.#runBatch(programs);
    if (Array.isArray(outcome)) return outcome;
    if (programs.length === 1) return [outcome];
    const outcomes: NativeOutcome[] = [];
    for (const program of programs) outcomes.push(...(await this.run([program])));
    return outcomes;
  }

  [Symbol.dispose](): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  async #runBatch(programs: readonly NativeProgram[]): Promise<NativeResult[] | NativeDeath> {
    this.#child ??= fork(new URL('./native-runner-child.js', import.meta.url), { serialization: 'advanced' });
    const child = this.#child;
    const abort = new AbortController();
    const { signal } = abort;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, this.#timeLimit);
    let timedOut = false;
    child.send(programs);
    try {
      const answer = once(child, 'message', { signal }).then(([results]) => results as NativeResult[]);
      const end = once(child, 'exit', { signal }).then(
        ([code, by]): NativeDeath => ({ died: `${by ?? `exit ${code}`}` }),
      );
      const outcome = await Promise.race([answer, end]);
      if (!Array.isArray(outcome)) this.#child = undefined;
      return timedOut ? { died: 'timeout' } : outcome;
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}
