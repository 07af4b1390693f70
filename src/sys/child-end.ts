/**
 * How children of ours end. Such a child is traced by us too, so that whoever waits for it first, as its tracer or as its
 * parent, is the only one that is told. Source: waitid(2); ptrace(2), "Death under ptrace".
 */
import { constants } from 'node:os';
import { viewOf } from '../bytes/struct.ts';
import { SysError } from './errors.ts';
import { tryLibc } from './libc.ts';

/** What a shell would say of it: an exit code, or the signal that it died of. */
export type ProcessEnd =
  | { readonly code: number; readonly signal?: undefined }
  | { readonly code?: undefined; readonly signal: number };

const { EINTR } = constants.errno;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x100_0000;
const CLD_EXITED = 1;
/** That, CLD_KILLED and CLD_DUMPED. */
const ENDS: ReadonlySet<number> = new Set([CLD_EXITED, 2, 3]);

/** siginfo_t of SIGCHLD, include/uapi/asm-generic/siginfo.h. */
const SIGINFO_SIZE = 128;
const SI_CODE = 8;
const SI_PID = 16;
const SI_STATUS = 24;

const ends = new Map<number, ProcessEnd | undefined>();

/** Has the end of a child kept for `takeEnd`. */
export function expectEnd(pid: number): void {
  ends.set(pid, undefined);
}

/** Tells that a wait for a traced thread found it ended. @param status of waitpid(2) */
export function noteEnd(tid: number, status: number): void {
  if (!ends.has(tid)) return;
  const signal = status & 0x7f;
  ends.set(tid, signal === 0 ? { code: (status >> 8) & 0xff } : { signal });
}

/**
 * How an expected child ended, undefined while it runs. It is a zombie until this is asked.
 *
 * @throws {SysError} SYS_ECHILD if somebody else was told
 */
export function takeEnd(pid: number): ProcessEnd | undefined {
  const noted = ends.get(pid);
  if (noted !== undefined) return noted;
  // A stop of a traced child is told too, asked for or not: it is to be left for who waits for that.
  const looked = waitid(pid, WEXITED | WNOHANG | WNOWAIT);
  if (looked === undefined || !ENDS.has(looked.getInt32(SI_CODE, true))) return undefined;
  const view = waitid(pid, WEXITED | WNOHANG);
  if (view === undefined) return undefined;
  const status = view.getInt32(SI_STATUS, true);
  const end = view.getInt32(SI_CODE, true) === CLD_EXITED ? { code: status } : { signal: status };
  ends.set(pid, end);
  return end;
}

/** What there is to be told of a child; undefined if nothing. */
function waitid(pid: number, options: number): DataView | undefined {
  const info = new Uint8Array(SIGINFO_SIZE);
  const result = tryLibc('waitid', P_PID, pid, info, options);
  if (result === -EINTR) return undefined;
  if (result < 0) throw new SysError(`waitid(${pid})`, -result);
  const view = viewOf(info);
  return view.getInt32(SI_PID, true) === pid ? view : undefined;
}
