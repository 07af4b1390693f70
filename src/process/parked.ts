/**
 * Processes of one thread that stand at a stop of ours and stay there: between the stops that attaching makes they do not run on.
 * If we die the kernel lets them go.
 */
import { detach, interrupt, resume } from '../sys/ptrace.ts';
import { watchHold } from './watchdog.ts';

const parked = new Map<number, Disposable>();

/** Keeps a traced thread that is stopped where it is, until `unpark`. */
export function park(tid: number): void {
  parked.set(tid, watchHold());
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

/** Lets a thread that was kept run on, traced no longer. @throws {SysError} SYS_ESRCH if it is gone */
export function unpark(tid: number): void {
  const watch = parked.get(tid);
  parked.delete(tid);
  watch?.[Symbol.dispose]();
  detach(tid, 0);
}
