/** Puts the gate of exec-gate.ts in front of the system calls that replace a program, by probes of our own. */
import { lower } from '../arch/x64/lower.ts';
import type { Features } from '../arch/x64/selection.ts';
import type { EbpfCallback } from '../attach/attach-impl.ts';
import { BpfError } from '../errors.ts';
import type { Injection } from '../inject/injection.ts';
import type { AttachContext } from './attach-context.ts';
import { RuntimeError } from './errors.ts';
import { ExecGate, execGateCode } from './exec-gate.ts';

/** Where a session has the gate. */
export interface ExecGateMemory {
  readonly bytes: Uint8Array;
  /** Of the bytes, in the target. */
  readonly address: bigint;
  /** Wakes who waits for the word at an offset of them. */
  wake(offset: number): void;
}

/**
 * From now on threads that replace their program wait until the gate is answered, or closed.
 *
 * @throws {AttachError} ATTACH_NO_SYSCALL_SITE if no place that makes the call can be reached
 * @throws {RuntimeError} RUNTIME_SECCOMP
 */
export function openExecGate(
  context: AttachContext,
  injection: Injection,
  memory: ExecGateMemory,
  features: Features,
): ExecGate {
  requireFilterless(injection);
  const place = { address: memory.address, leaseCell: injection.leaseCell };
  const callback: EbpfCallback = {
    name: 'exec gate',
    cookie: 0n,
    missedCell: 0n,
    allowed: new Set(),
    compile: ({ free = [] }, nearAddress) => lower(execGateCode(place), { nearAddress, features, preferred: free }),
    map: () => undefined,
  };
  const gate = new ExecGate(memory.bytes, (offset) => memory.wake(offset));
  injection.batch(() => {
    // Looking for all system calls of a large program takes long, and mostly the C library makes these.
    const inLibrary = tryAttach(context, 'uprobe', 'libc:execve', callback);
    if (inLibrary === undefined) tryAttach(context, 'uprobe', 'libc:execveat', callback);
    else context.attachOwn('tracepoint', 'syscalls/sys_enter_execve', callback);
    if (inLibrary !== undefined) tryAttach(context, 'tracepoint', 'syscalls/sys_enter_execveat', callback);
  });
  return gate;
}

function requireFilterless({ process }: Injection): void {
  if (process.facts.seccomp === 'none') return;
  throw new RuntimeError('RUNTIME_SECCOMP', `cannot follow process ${process.pid}: it runs under a seccomp filter`, {
    why: 'where it replaces its program it would have to make system calls that the filter may punish',
  });
}

/** Gives the error if it could not be. */
function tryAttach(
  context: AttachContext,
  prefix: string,
  place: string,
  callback: EbpfCallback,
): BpfError | undefined {
  try {
    context.attachOwn(prefix, place, callback);
    return undefined;
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
}
