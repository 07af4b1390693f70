/**
 * Where a thread that was stopped inside a system call goes on.
 * A stop makes a blocking call return early with a number only the kernel ever sees; on the way back to user mode it turns
 * that into "make the call again". Whoever sets registers at such a stop has to do the same by hand.
 * Source: arch_do_signal_or_restart in arch/x86/kernel/signal.c; include/linux/errno.h; signal(7).
 */
import type { Registers } from '../sys/ptrace.ts';

/** orig_rax of a thread that is in no system call. */
export const NO_SYSTEM_CALL = 0xffff_ffff_ffff_ffffn;

/** `syscall` is two bytes. */
const SYSCALL_SIZE = 2n;
const RESTART_SYSCALL = 219n;
const EINTR = -4n;

/** Results that mean: make the call again. */
const ERESTARTSYS = -512n;
const ERESTARTNOINTR = -513n;
const ERESTARTNOHAND = -514n;
/** The same for calls with a timeout: restart_syscall(2) goes on with what is left of it. */
const ERESTART_RESTARTBLOCK = -516n;

/**
 * Calls that end in EINTR at any stop, even one without a signal, and can be made again: nothing was done yet, or EINTR
 * would not have been the answer. A relative timeout begins anew. Not connect(2) and close(2), which do not undo.
 */
const REPEATABLE: ReadonlySet<bigint> = new Set([
  0n, // read (a socket with a receive timeout)
  1n, // write
  19n, // readv
  20n, // writev
  43n, // accept
  44n, // sendto
  45n, // recvfrom
  46n, // sendmsg
  47n, // recvmsg
  65n, // semop
  128n, // rt_sigtimedwait
  208n, // io_getevents
  220n, // semtimedop
  232n, // epoll_wait
  281n, // epoll_pwait
  288n, // accept4
  299n, // recvmmsg
  333n, // io_pgetevents
  426n, // io_uring_enter
  441n, // epoll_pwait2
]);

/**
 * The registers of a thread stopped without a signal, with an EINTR that only our stop caused turned into "make the call again,
 * unless a handler runs first". To be set while the thread is still at that stop: the kernel reads it on the way out.
 */
export function withoutSpuriousEintr(registers: Registers): Registers {
  const spurious = BigInt.asIntN(64, registers.rax) === EINTR && REPEATABLE.has(registers.origRax);
  return spurious ? { ...registers, rax: BigInt.asUintN(64, ERESTARTNOHAND) } : registers;
}

/**
 * The registers of a thread stopped without a signal, with what the kernel would still do to them done: from them the
 * thread goes on as if it had not been stopped. Applying it twice changes nothing.
 */
export function resumePoint(registers: Registers): Registers {
  if (BigInt.asIntN(64, registers.origRax) < 0n) return registers;
  const rip = registers.rip - SYSCALL_SIZE;
  const result = BigInt.asIntN(64, registers.rax);
  if (result === ERESTARTSYS || result === ERESTARTNOINTR || result === ERESTARTNOHAND) {
    return { ...registers, rip, rax: registers.origRax, origRax: NO_SYSTEM_CALL };
  }
  if (result === ERESTART_RESTARTBLOCK) return { ...registers, rip, rax: RESTART_SYSCALL, origRax: NO_SYSTEM_CALL };
  return { ...registers, origRax: NO_SYSTEM_CALL };
}
