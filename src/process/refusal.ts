/**
 * Why a process cannot be entered, in words: one text, whether an attach fails or somebody asks beforehand.
 * Source: ptrace(2), "Ptrace access mode checking"; seccomp(2); Documentation/admin-guide/LSM/Yama.rst.
 */
import type { AttachFacts } from './attach-facts.ts';
import { ProcessError, type ProcessErrorCode } from './errors.ts';

/** One thing that stands against entering, whoever asks. */
interface Refusal {
  readonly code: ProcessErrorCode;
  holds(facts: AttachFacts): boolean;
  /** What stands behind `cannot enter process 42 (name): `. */
  message(facts: AttachFacts): string;
  why?(facts: AttachFacts): string;
  readonly fix?: string;
}

/** The first that holds is told. */
const REFUSALS: readonly Refusal[] = [
  {
    code: 'PROCESS_SELF',
    holds: ({ pid }) => pid === process.pid,
    message: () => 'it is this process',
  },
  {
    code: 'PROCESS_EXITED',
    holds: ({ state, threadCount }) => state === 'X' || (state === 'Z' && threadCount <= 1),
    message: () => 'it has ended and waits for its parent to notice',
  },
  {
    code: 'PROCESS_TRACES_US',
    holds: ({ tracesUs }) => tracesUs,
    message: () => 'it traces this process',
    why: () => 'while it stood still nobody would let us go on, nor we it',
    fix: 'run remora outside of that debugger',
  },
  {
    code: 'PROCESS_TRACED',
    holds: ({ tracer }) => tracer !== undefined && tracer.pid !== process.pid,
    message: () => 'another program traces it',
    why: ({ tracer }) => `its tracer is process ${tracer?.pid} (${tracer?.name}), and there can be only one`,
    fix: 'end that debugger or tracer, or let it detach',
  },
  {
    code: 'PROCESS_WRONG_ARCH',
    holds: ({ architecture }) => architecture !== undefined && architecture !== 'x86-64',
    message: ({ architecture }) => `it is an ${architecture} program, wanted x86-64`,
  },
  {
    code: 'PROCESS_FROZEN',
    holds: ({ frozen }) => frozen,
    message: () => 'its control group is frozen',
    why: () => 'a frozen thread executes nothing, and entering a process takes some system calls of its own',
    fix: 'thaw it first: docker unpause, systemctl thaw, or the group’s cgroup.freeze',
  },
  {
    code: 'PROCESS_SECCOMP',
    holds: ({ seccomp }) => seccomp === 'strict',
    message: () => 'seccomp mode is strict',
    why: () => 'a thread of it may read, write and end, and is killed for any other system call',
  },
  {
    code: 'PROCESS_SECCOMP',
    holds: ({ seccomp, canSuspendSeccomp }) => seccomp === 'filter' && !canSuspendSeccomp,
    message: () => 'seccomp mode is filter',
    why: () => 'its filter may kill it for the mmap and memfd_create that entering it needs',
    fix: 'run as root outside of containers: with CAP_SYS_ADMIN the filter is suspended meanwhile',
  },
];

/** Why the process cannot be entered, undefined if nothing known stands against it. */
export function refusalOf(facts: AttachFacts): ProcessError | undefined {
  const refusal = REFUSALS.find(({ holds }) => holds(facts));
  if (refusal === undefined) return undefined;
  const { code, message, why, fix } = refusal;
  return new ProcessError(code, `cannot enter process ${facts.pid} (${facts.name}): ${message(facts)}`, {
    ...(why !== undefined && { why: why(facts) }),
    ...(fix !== undefined && { fix }),
  });
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
  if (facts.realUser !== facts.user && !facts.hasPtraceCapability) {
    const why = `it is a set-user-id program: started by uid ${facts.realUser}, it runs as uid ${facts.user}`;
    return { why, fix: asRoot };
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
  if (facts.hasPtraceCapability && facts.capabilityScope === 'user namespace') {
    return {
      why: 'your CAP_SYS_PTRACE holds in your user namespace, and it belongs to another',
      fix: 'run it as root of the system, outside of containers',
    };
  }
  return { why: 'it has capabilities that you lack, or a security module forbids it', fix: asRoot };
}
