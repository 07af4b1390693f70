/**
 * Processes of one thread that stand at a stop of ours and stay there: between the stops that attaching makes they do not run on.
 * If we die the kernel lets them go.
 */
import { isSysError } from '../sys/errors.ts';
import { detach, interrupt, resume } from '../sys/ptrace.ts';
import { watchHold } from './watchdog.ts';

const parked = new Map<number, Disposable | undefined>();

/** Keeps a traced thread that is stopped where it is, until `unpark`. Others may wait for it: we must not stop meanwhile. */
export function park(tid: number): void {
  parked.set(tid, watchHold());
}

/** The same for a program that has not begun and begins when we say so: it may be kept as long as we like. */
export function parkUnbegun(tid: number): void {
  parked.set(tid, undefined);
}

/** True while a thread is kept. */
export function isParked(tid: number): boolean {
  return parked.has(tid);
}

/** Has a thread that is kept stop anew, so that its stop can be waited for. @throws {SysError} SYS_ESRCH if it is gone */
export function stopAgain(tid: number): void {
  interrupt(tid);
  resume(tid, 0);
}

/** Lets a thread that was kept run on, traced no longer; one that has ended is only forgotten. */
export function unpark(tid: number): void {
  const watch = parked.get(tid);
  if (!parked.delete(tid)) return;
  watch?.[Symbol.dispose]();
  try {
    detach(tid, 0);
  } catch (error) {
    if (!isSysError(error, 'SYS_ESRCH')) throw error;
  }
}
