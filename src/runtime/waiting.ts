/** Sleeping on a word of memory that is shared with targets, until one of their threads wakes us. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitOnWord } from '../sys/libc.ts';

/** How long one sleeps at most, in milliseconds: a wake-up may be missed. */
const LONGEST_SLEEP = 50;
/** Those that sleep on a word keep a thread of libuv's few each; others look again after a while. */
const MOST_SLEEPERS = 2;
const SHORT_SLEEP = 5;

let sleepers = 0;

/** A word that says by not being 0 that somebody waits. */
export interface WaitingWord {
  readonly word: Int32Array;
  /** False once what was waited for is there. */
  isWorthIt(): boolean;
  /** False once the memory of the word may be gone. */
  isThere(): boolean;
}

/** A short while, in which other work is done. */
export async function sleepShortly(signal: AbortSignal | undefined): Promise<void> {
  await sleep(SHORT_SLEEP, undefined, signal && { signal }).catch(() => {});
}

/** Until somebody wakes those who wait, the signal aborts, or a while has passed. */
export async function sleepOn(
  { word, isWorthIt, isThere }: WaitingWord,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (sleepers >= MOST_SLEEPERS) {
    await sleepShortly(signal);
    return;
  }
  Atomics.store(word, 0, 1);
  if (isWorthIt()) await wait(word, signal);
  if (isThere()) Atomics.store(word, 0, 0);
}

function wait(word: Int32Array, signal: AbortSignal | undefined): Promise<void> {
  sleepers++;
  return new Promise((resolve) => {
    const stop = (): void => {
      signal?.removeEventListener('abort', stop);
      resolve();
    };
    signal?.addEventListener('abort', stop);
    waitOnWord(word, 1, LONGEST_SLEEP).then(() => {
      sleepers--;
      stop();
    });
  });
}
