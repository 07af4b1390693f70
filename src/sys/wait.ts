/** waitpid(2) for traced threads: always by thread id, never -1, since libuv waits for children of its own. */
import { constants } from 'node:os';
import { noteEnd } from './child-end.ts';
import { SysError } from './errors.ts';
import { tryLibc } from './libc.ts';

const { EINTR } = constants.errno;
const WNOHANG = 1;
/** Waits for threads too, whatever they were made by. */
export const WALL = 0x4000_0000;

/** What a traced thread reported. */
export type WaitEvent =
  | { readonly kind: 'ended' }
  /** Stopped because we asked, or at the start of a thread's life. */
  | { readonly kind: 'trap' }
  /** Stopped as all threads of its process are, by SIGSTOP or its kin. */
  | { readonly kind: 'group-stop' }
  /** Stopped before `signal` is delivered; it is lost unless passed on. */
  | { readonly kind: 'signal'; readonly signal: number }
  /** Stopped where it begins or ends a system call. */
  | { readonly kind: 'system-call' }
  /** Stopped inside clone; `readEventMessage` tells the new thread. */
  | { readonly kind: 'clone' }
  /** Stopped at the first instruction of a new program. */
  | { readonly kind: 'exec' };

const SIGTRAP = constants.signals.SIGTRAP;
/** What PTRACE_O_TRACESYSGOOD makes of it at system calls. */
const SYSTEM_CALL_TRAP = SIGTRAP | 0x80;

const PTRACE_EVENT_CLONE = 3;
const PTRACE_EVENT_EXEC = 4;
const PTRACE_EVENT_STOP = 128;

/** Filled by each call: hundreds of threads are waited for while they stand still. */
const status = new Int32Array(1);

/** What a traced thread reported since the last call, undefined if nothing. @throws {SysError} SYS_ECHILD if not ours */
export function takeEvent(tid: number): WaitEvent | undefined {
  return waitFor(tid, WALL | WNOHANG);
}

/** Waits for what a traced thread reports; undefined if a signal came first. @throws {SysError} SYS_ECHILD if not ours */
export function awaitEvent(tid: number): WaitEvent | undefined {
  return waitFor(tid, WALL);
}

function waitFor(tid: number, options: number): WaitEvent | undefined {
  const result = tryLibc('waitpid', tid, status, options);
  if (result === 0 || result === -EINTR) return undefined;
  if (result < 0) throw new SysError(`waitpid(${tid})`, -result);
  return eventOf(tid, status[0]!);
}

/** What the status that a wait for a thread gave tells; if that is its end, it is known from now on. */
export function eventOf(tid: number, status: number): WaitEvent {
  const event = decodeStatus(status);
  if (event.kind === 'ended') noteEnd(tid, status);
  return event;
}

/** Waits for what a traced thread reports, however long. @throws {SysError} SYS_ECHILD if not ours */
export function awaitReport(tid: number): WaitEvent {
  for (;;) {
    const event = awaitEvent(tid);
    if (event !== undefined) return event;
  }
}

/** Reads a wait status; ptrace(2) describes its bits. */
export function decodeStatus(status: number): WaitEvent {
  if ((status & 0xff) !== 0x7f) return { kind: 'ended' };
  const signal = (status >> 8) & 0xff;
  const event = status >>> 16;
  if (event === PTRACE_EVENT_STOP) return { kind: signal === SIGTRAP ? 'trap' : 'group-stop' };
  if (event === PTRACE_EVENT_CLONE) return { kind: 'clone' };
  if (event === PTRACE_EVENT_EXEC) return { kind: 'exec' };
  if (signal === SYSTEM_CALL_TRAP) return { kind: 'system-call' };
  return { kind: 'signal', signal };
}
