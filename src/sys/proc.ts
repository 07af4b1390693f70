/**
 * The text files of /proc/PID: status, stat, task. Source: proc(5).
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { SysError } from './errors.ts';

/** The lines of /proc/PID/status that tell whether and how a process can be entered. */
export interface ProcessStatus {
  /** The name of the program, at most 15 bytes; hostile text. */
  readonly name: string;
  /** One letter: R S D T t Z X I. */
  readonly state: string;
  /** The process; differs from the id asked for if that is a thread. */
  readonly tgid: number;
  readonly parent: number;
  /** Who traces it, 0 if nobody. */
  readonly tracer: number;
  /** Real, effective, saved and filesystem user. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly threadCount: number;
  /** 0 none, 1 strict, 2 filter. */
  readonly seccomp: number;
  /** Its id in each pid namespace, ours first. */
  readonly namespacePids: readonly number[];
  /** Bit n-1: the process has a handler for signal n. */
  readonly caughtSignals: bigint;
  readonly effectiveCapabilities: bigint;
  readonly permittedCapabilities: bigint;
}

/** Capability bits, linux/capability.h. */
export const Capability = { SYS_PTRACE: 1n << 19n, SYS_ADMIN: 1n << 21n } as const;

/** @throws {SysError} SYS_ENOENT or SYS_ESRCH if there is no such process */
export function readStatus(pid: number): ProcessStatus {
  return parseStatus(readProcText(`/proc/${pid}/status`));
}

/** Reads the text of /proc/PID/status; lines an old kernel lacks count as 0. */
export function parseStatus(text: string): ProcessStatus {
  const lines = new Map(
    text.split('\n').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const words = (key: string): string[] => (lines.get(key) ?? '').split(/\s+/).filter((word) => word !== '');
  const number = (key: string): number => Number(words(key)[0] ?? 0);
  const mask = (key: string): bigint => BigInt(`0x${lines.get(key) ?? '0'}`);
  return {
    name: lines.get('Name') ?? '',
    state: words('State')[0] ?? '?',
    tgid: number('Tgid'),
    parent: number('PPid'),
    tracer: number('TracerPid'),
    uids: words('Uid').map(Number),
    gids: words('Gid').map(Number),
    threadCount: number('Threads'),
    seccomp: number('Seccomp'),
    namespacePids: words('NSpid').map(Number),
    caughtSignals: mask('SigCgt'),
    effectiveCapabilities: mask('CapEff'),
    permittedCapabilities: mask('CapPrm'),
  };
}

/** The seccomp mode of a thread alone. @throws {SysError} SYS_ENOENT or SYS_ESRCH if it is gone */
export function readSeccompMode(tid: number): number {
  return seccompMode(readProcText(`/proc/${tid}/status`));
}

/** The id of a thread in its own pid namespace, alone. @throws {SysError} SYS_ENOENT or SYS_ESRCH if it is gone */
export function readNamespacePid(tid: number): number | undefined {
  const pids = /^NSpid:\s*(.*)$/m.exec(readProcText(`/proc/${tid}/status`))?.[1]?.trim();
  return pids ? Number(pids.split(/\s+/).at(-1)) : undefined;
}

function seccompMode(status: string): number {
  return Number(/^Seccomp:\s*(\d+)/m.exec(status)?.[1] ?? 0);
}

/** The seccomp mode of each thread of a process: each has its own. None if it is gone. */
export function readSeccompModes(pid: number): readonly number[] {
  const modes: number[] = [];
  for (const tid of threadIdsOf(pid)) {
    try {
      modes.push(seccompMode(readProcText(`/proc/${pid}/task/${tid}/status`)));
    } catch {
      // The thread has ended meanwhile.
    }
  }
  return modes;
}

function threadIdsOf(pid: number): readonly number[] {
  try {
    return readThreadIds(pid);
  } catch {
    return [];
  }
}

/** The letter of a thread's state, undefined once it is gone. Cheaper than its status. */
export function readThreadState(pid: number, tid: number): string | undefined {
  try {
    const stat = readProcText(`/proc/${pid}/task/${tid}/stat`);
    // The name stands in brackets and may hold any byte, brackets too.
    return stat[stat.lastIndexOf(')') + 2];
  } catch {
    return undefined;
  }
}

/**
 * When a process began, in clock ticks since the system did: with its number this means one process and no other.
 *
 * @throws {SysError} SYS_ENOENT or SYS_ESRCH if it is gone
 */
export function readStartTime(pid: number): bigint {
  const stat = readProcText(`/proc/${pid}/stat`);
  // Field 22, the 20th behind the name.
  return BigInt(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 0);
}

/** A number that means a process's pid namespace; 0 where it may not be looked at. */
export function readPidNamespace(pid: number): bigint {
  try {
    return statSync(`/proc/${pid}/ns/pid`, { bigint: true }).ino;
  } catch {
    return 0n;
  }
}

/** Ids of the threads of a process, zombies included. @throws {SysError} SYS_ENOENT or SYS_ESRCH if it is gone */
export function readThreadIds(pid: number): readonly number[] {
  return asSysError(`readdir(/proc/${pid}/task)`, () => readdirSync(`/proc/${pid}/task`)).map(Number);
}

/**
 * How many threads a process has, zombies included: much cheaper than their ids. Source: proc_task_getattr in fs/proc/base.c.
 *
 * @throws {SysError} SYS_ENOENT or SYS_ESRCH if it is gone
 */
export function countThreads(pid: number): number {
  const path = `/proc/${pid}/task`;
  return asSysError(`stat(${path})`, () => statSync(path)).nlink - TASK_DIRECTORY_LINKS;
}

/** Of the folder itself, whatever it holds. */
const TASK_DIRECTORY_LINKS = 2;

/** A whole text file. @throws {SysError} */
export function readProcText(path: string): string {
  return asSysError(`read(${path})`, () => readFileSync(path, 'utf8'));
}

/** Runs `body`, turning the errors of node:fs into ours. */
export function asSysError<T>(call: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const name = error instanceof Error && 'code' in error ? String(error.code) : '';
    const errno = (constants.errno as Readonly<Record<string, number>>)[name];
    if (errno === undefined) throw error;
    throw new SysError(call, errno, { cause: error });
  }
}

/** A process whose first thread has ended shows its memory and files only under the number of another. */
export function livingThread(pid: number): number {
  if (readThreadState(pid, pid) !== 'Z') return pid;
  return readThreadIds(pid).find((tid) => readThreadState(pid, tid) !== 'Z') ?? pid;
}
