/**
 * What decides whether a process can be entered, read without touching it. The kernel has the last word; these are the
 * reasons it does not give (refusal.ts). Source: proc(5), user_namespaces(7).
 */
import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { isFrozen } from '../sys/control-groups.ts';
import { isSysError } from '../sys/errors.ts';
import { Capability, type ProcessStatus, readSeccompModes, readStatus } from '../sys/proc.ts';
import { readMaps } from '../sys/proc-maps.ts';
import { ProcessError } from './errors.ts';

export interface AttachFacts {
  readonly pid: number;
  /** Of its program, at most 15 bytes; hostile text. */
  readonly name: string;
  readonly state: string;
  readonly threadCount: number;
  /** Effective user of the process, and ours. */
  readonly user: number;
  /** Who started it: another one if it is a set-user-id program. */
  readonly realUser: number;
  readonly ownUser: number;
  /** Whether we may trace processes of other users. */
  readonly hasPtraceCapability: boolean;
  /** Where our capabilities hold: those of a user namespace's root end with it. */
  readonly capabilityScope: 'system' | 'user namespace';
  /** kernel.yama.ptrace_scope, undefined where the kernel has no Yama. */
  readonly ptraceScope: number | undefined;
  /** False for processes that changed their user, and those that asked for it: only root may trace them. */
  readonly dumpable: boolean;
  /** Who traces it already. */
  readonly tracer: { readonly pid: number; readonly name: string } | undefined;
  /** It is the debugger that we run under. */
  readonly tracesUs: boolean;
  /** The strictest mode of its threads: each has its own. */
  readonly seccomp: 'none' | 'strict' | 'filter';
  /** Whether we may put its filters to sleep meanwhile. */
  readonly canSuspendSeccomp: boolean;
  /** undefined if it may not be read, or there is no program file. */
  readonly architecture: 'x86-64' | 'x32' | 'i386' | 'other' | undefined;
  readonly libc: 'glibc' | 'musl' | 'none' | undefined;
  /** Its control group does not let it execute anything. */
  readonly frozen: boolean;
  /** Its number in its own pid namespace; the same as `pid` if that is ours. */
  readonly namespacePid: number;
}

const SECCOMP_MODES = ['none', 'strict', 'filter'] as const;
const STRICTEST_FIRST = ['strict', 'filter'] as const;

/** The first user namespace has this number on every system. Source: PROC_USER_INIT_INO in include/linux/proc_ns.h. */
const FIRST_USER_NAMESPACE = 'user:[4026531837]';

/** Bytes of /proc/PID/exe that tell the architecture: EI_CLASS at 4, e_machine at 18. */
const IDENT_SIZE = 20;
const EM_386 = 3;
const EM_X86_64 = 62;

/** Modules by which a C library is known. */
const LIBRARIES = [
  ['glibc', /\/libc(?:\.so\.6|-[\d.]+\.so)$/],
  ['musl', /\/(?:(?:ld-musl-|libc\.musl-)[^/]*|[^/]*-musl\/(?:lib\/)?libc\.so)$/],
] as const;

/** @throws {ProcessError} PROCESS_NOT_FOUND, PROCESS_NOT_A_PROCESS, PROCESS_KERNEL_THREAD */
export function readAttachFacts(pid: number): AttachFacts {
  const status = statusOf(pid);
  const own = readStatus(process.pid);
  const has = (capability: bigint): boolean => (own.effectiveCapabilities & capability) !== 0n;
  const capabilityScope = ownCapabilityScope();
  return {
    pid,
    name: status.name,
    state: status.state,
    threadCount: status.threadCount,
    user: status.uids[1] ?? 0,
    realUser: status.uids[0] ?? 0,
    ownUser: own.uids[1] ?? 0,
    hasPtraceCapability: has(Capability.SYS_PTRACE),
    capabilityScope,
    ptraceScope: ptraceScope(),
    dumpable: isDumpable(pid, status),
    tracer: status.tracer === 0 ? undefined : { pid: status.tracer, name: nameOf(status.tracer) },
    tracesUs: own.tracer === pid,
    seccomp: seccompOf(pid),
    canSuspendSeccomp: has(Capability.SYS_ADMIN) && capabilityScope === 'system' && own.seccomp === 0,
    architecture: architectureOf(pid),
    libc: libcOf(pid),
    frozen: isFrozen(pid),
    namespacePid: status.namespacePids.at(-1) ?? pid,
  };
}

function statusOf(pid: number): ProcessStatus {
  if (!Number.isInteger(pid) || pid <= 0) {
    throw new ProcessError('PROCESS_NOT_A_PROCESS', `cannot enter process ${pid}: wanted a positive whole number`);
  }
  let status: ProcessStatus;
  try {
    status = readStatus(pid);
  } catch (error) {
    if (!isSysError(error, 'SYS_ENOENT', 'SYS_ESRCH')) throw error;
    throw new ProcessError('PROCESS_NOT_FOUND', `cannot enter process ${pid}: there is none`, { cause: error });
  }
  if (status.tgid !== pid) {
    throw new ProcessError('PROCESS_NOT_A_PROCESS', `cannot enter ${pid}: it is a thread of process ${status.tgid}`, {
      fix: `name process ${status.tgid}: it is entered with all its threads`,
    });
  }
  if (isKernelThread(pid)) {
    throw new ProcessError(
      'PROCESS_KERNEL_THREAD',
      `cannot enter process ${pid} (${status.name}): it is part of the kernel`,
    );
  }
  return status;
}

/** Kernel threads alone have the flag PF_KTHREAD; field 9 of stat, the 7th behind the name. One that ended meanwhile was none. */
function isKernelThread(pid: number): boolean {
  const PF_KTHREAD = 0x20_0000;
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? '';
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[6]) & PF_KTHREAD) !== 0;
}

function ownCapabilityScope(): AttachFacts['capabilityScope'] {
  return attempt(() => readlinkSync('/proc/self/ns/user')) === FIRST_USER_NAMESPACE ? 'system' : 'user namespace';
}

function seccompOf(pid: number): AttachFacts['seccomp'] {
  const modes = readSeccompModes(pid).map((mode) => SECCOMP_MODES[mode] ?? 'filter');
  return STRICTEST_FIRST.find((mode) => modes.includes(mode)) ?? 'none';
}

function ptraceScope(): number | undefined {
  return attempt(() => Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'latin1')));
}

/** The kernel gives the files of /proc/PID to root where the process may not be dumped. */
function isDumpable(pid: number, status: ProcessStatus): boolean {
  return attempt(() => statSync(`/proc/${pid}`).uid === status.uids[1]) ?? true;
}

function nameOf(pid: number): string {
  return attempt(() => readStatus(pid).name) ?? '?';
}

function architectureOf(pid: number): AttachFacts['architecture'] {
  return attempt(() => {
    readlinkSync(`/proc/${pid}/exe`);
    const ident = Buffer.alloc(IDENT_SIZE);
    const fd = openSync(`/proc/${pid}/exe`, 'r');
    try {
      readSync(fd, ident, 0, IDENT_SIZE, 0);
    } finally {
      closeSync(fd);
    }
    const machine = ident.readUInt16LE(18);
    const is64Bit = ident[4] === 2;
    if (machine === EM_X86_64) return is64Bit ? 'x86-64' : 'x32';
    return machine === EM_386 ? 'i386' : 'other';
  });
}

function libcOf(pid: number): AttachFacts['libc'] {
  return attempt(() => {
    const paths = readMaps(pid).map((mapping) => mapping.path);
    return LIBRARIES.find(([, pattern]) => paths.some((path) => pattern.test(path)))?.[0] ?? 'none';
  });
}

/** undefined where we may not look. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
