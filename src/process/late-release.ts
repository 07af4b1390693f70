/**
 * Threads that were told to stop and did not in time: one that waits for its vfork child, say. A thread can be let go only
 * at a stop, so these are let go at the stop they come to later; until then they would hang there.
 * The timer does not keep this process alive: when it ends, the kernel lets all of them go.
 */
import { isSysError } from '../sys/errors.ts';
import { detach } from '../sys/ptrace.ts';
import { takeEvent } from '../sys/wait.ts';
import { watchHold } from './watchdog.ts';

const INTERVAL_MS = 2;

const waiting = new Set<number>();
let timer: NodeJS.Timeout | undefined;
let watch: Disposable | undefined;

/** Lets a traced thread go as soon as it stops. */
export function releaseLate(tid: number): void {
  waiting.add(tid);
  timer ??= setInterval(releaseStopped, INTERVAL_MS).unref();
  watch ??= watchHold();
}

/** Takes a thread back under control; true if it was waiting to be let go. */
export function reclaimLate(tid: number): boolean {
  return waiting.delete(tid);
}

function releaseStopped(): void {
  for (const tid of waiting) {
    if (tryRelease(tid)) waiting.delete(tid);
  }
  if (waiting.size > 0) return;
  clearInterval(timer);
  timer = undefined;
  watch?.[Symbol.dispose]();
  watch = undefined;
}

function tryRelease(tid: number): boolean {
  try {
    const event = takeEvent(tid);
    if (event === undefined) return false;
    if (event.kind !== 'ended') detach(tid, event.kind === 'signal' ? event.signal : 0);
    return true;
  } catch (error) {
    if (isSysError(error, 'SYS_ECHILD', 'SYS_ESRCH')) return true;
    throw error;
  }
}
