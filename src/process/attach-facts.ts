/**
 * What decides whether a process can be entered, read without touching it. The kernel has the last word; these are the
 * reasons it does not give. Source: ptrace(2), "Ptrace access mode checking"; Documentation/admin-guide/LSM/Yama.rst.
 */
import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { isSysError } from '../sys/errors.ts';
import { Capability, type ProcessStatus, readStatus } from '../sys/proc.ts';
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
  readonly ownUser: number;
  /** Whether we may trace processes of other users. */
  readonly hasPtraceCapability: boolean;
  /** kernel.yama.ptrace_scope, undefined where the kernel has no Yama. */
  readonly ptraceScope: number | undefined;
  /** False for processes that changed their user, and those that asked for it: only root may trace them. */
  readonly dumpable: boolean;
  /** Who traces it already. */
  readonly tracer: { readonly pid: number; readonly name: string } | undefined;
  readonly seccomp: 'none' | 'strict' | 'filter';
  /** Whether we may put its filters to sleep meanwhile. */
  readonly canSuspendSeccomp: boolean;
  /** undefined if it may not be read, or there is no program file. */
  readonly architecture: 'x86-64' | 'x32' | 'i386' | 'other' | undefined;
  readonly libc: 'glibc' | 'musl' | 'none' | undefined;
  /** Its number in its own pid namespace; the same as `pid` if that is ours. */
  readonly namespacePid: number;
}

const SECCOMP_MODES = ['none', 'strict', 'filter'] as const;

/** Bytes of /proc/PID/exe that tell the architecture: EI_CLASS at 4, e_machine at 18. */
const IDENT_SIZE = 20;
const EM_386 = 3;
const EM_X86_64 = 62;

/** Modules by which a C library is known. */
const LIBRARIES = [
  ['glibc', /\/libc(?:\.so\.6|-[\d.]+\.so)$/],
  ['musl', /\/(?:ld-musl-|libc\.musl-)[^/]*$/],
] as const;

/** @throws {ProcessError} PROCESS_NOT_FOUND, PROCESS_NOT_A_PROCESS, PROCESS_KERNEL_THREAD */
export function readAttachFacts(pid: number): AttachFacts {
  const status = statusOf(pid);
  const own = readStatus(process.pid);
  const has = (capability: bigint): boolean => (own.effectiveCapabilities & capability) !== 0n;
  const hasPtraceCapability = has(Capability.SYS_PTRACE);
  return {
    pid,
    name: status.name,
    state: status.state,
    threadCount: status.threadCount,
    user: status.uids[1] ?? 0,
    ownUser: own.uids[1] ?? 0,
    hasPtraceCapability,
    ptraceScope: ptraceScope(),
    dumpable: isDumpable(pid, status),
    tracer: status.tracer === 0 ? undefined : { pid: status.tracer, name: nameOf(status.tracer) },
    seccomp: SECCOMP_MODES[status.seccomp] ?? 'filter',
    canSuspendSeccomp: has(Capability.SYS_ADMIN) && own.seccomp === 0,
    architecture: architectureOf(pid),
    libc: libcOf(pid),
    namespacePid: status.namespacePids.at(-1) ?? pid,
  };
}

/** Why the process cannot be entered, undefined if nothing known stands against it. */
export function refusalOf(facts: AttachFacts): ProcessError | undefined {
  const who = `process ${facts.pid} (${facts.name})`;
  if (facts.pid === process.pid) return new ProcessError('PROCESS_SELF', `cannot enter ${who}: it is this process`);
  if (facts.state === 'Z' && facts.threadCount <= 1) {
    return new ProcessError('PROCESS_EXITED', `cannot enter ${who}: it has ended and waits for its parent to notice`);
  }
  if (facts.tracer !== undefined) {
    return new ProcessError('PROCESS_TRACED', `cannot enter ${who}: another program traces it`, {
      why: `its tracer is process ${facts.tracer.pid} (${facts.tracer.name}), and there can be only one`,
      fix: 'end that debugger or tracer, or let it detach',
    });
  }
  if (facts.architecture !== undefined && facts.architecture !== 'x86-64') {
    return new ProcessError(
      'PROCESS_WRONG_ARCH',
      `cannot enter ${who}: it is an ${facts.architecture} program, wanted x86-64`,
    );
  }
  if (facts.seccomp !== 'none' && !facts.canSuspendSeccomp) {
    return new ProcessError('PROCESS_SECCOMP', `cannot enter ${who}: seccomp mode is ${facts.seccomp}`, {
      why: 'its filter may kill it for the mmap and memfd_create that entering it needs',
      fix: 'run as root: with CAP_SYS_ADMIN the filter is suspended meanwhile',
    });
  }
  return undefined;
}

/** The error for a process that the kernel did not let us open or trace. */
export function permissionError(facts: AttachFacts, cause: unknown): ProcessError {
  const { why, fix } = permissionReason(facts);
  return new ProcessError('PROCESS_PERMISSION', `cannot enter process ${facts.pid} (${facts.name}): not permitted`, {
    cause,
    why,
    fix,
  });
}

function permissionReason(facts: AttachFacts): { why: string; fix: string } {
  const asRoot = 'run it with sudo, or as a user with CAP_SYS_PTRACE';
  if (facts.ptraceScope === 3) {
    return {
      why: 'kernel.yama.ptrace_scope is 3: nobody may trace',
      fix: 'it can be changed only by a restart of the system',
    };
  }
  if (facts.user !== facts.ownUser && !facts.hasPtraceCapability) {
    return { why: `it runs as uid ${facts.user}, you are uid ${facts.ownUser} and lack CAP_SYS_PTRACE`, fix: asRoot };
  }
  if (!facts.dumpable && !facts.hasPtraceCapability) {
    return { why: 'it is not dumpable: it has changed its user or asked not to be traced', fix: asRoot };
  }
  if ((facts.ptraceScope === 1 || facts.ptraceScope === 2) && !facts.hasPtraceCapability) {
    return {
      why: `kernel.yama.ptrace_scope is ${facts.ptraceScope} and you lack CAP_SYS_PTRACE`,
      fix: `${asRoot}, or set the sysctl to 0`,
    };
  }
  return { why: 'it has capabilities that you lack, or a security module forbids it', fix: asRoot };
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

/** Kernel threads alone have the flag PF_KTHREAD; field 9 of stat, the 7th behind the name. */
function isKernelThread(pid: number): boolean {
  const PF_KTHREAD = 0x20_0000;
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[6]) & PF_KTHREAD) !== 0;
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
