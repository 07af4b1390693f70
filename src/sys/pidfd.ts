/** A descriptor that stands for one process, whatever becomes of its number. Source: pidfd_open(2), pidfd_getfd(2). */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { libc, tryLibc } from './libc.ts';

const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const POLLIN = 1;
const { EINTR } = constants.errno;

export class PidFd implements Disposable {
  #fd: number;

  /** @throws {SysError} SYS_ESRCH if there is no such process, SYS_EINVAL or SYS_ENOENT if it is a thread of one */
  constructor(pid: number) {
    this.#fd = libc(`pidfd_open(${pid})`, 'syscall', SYS_PIDFD_OPEN, pid, 0, 0, 0);
  }

  /** False once the process has ended, zombie or not. While true its number means this process and no other. */
  isAlive(): boolean {
    if (this.#fd < 0) return false;
    // struct pollfd { int fd; short events, revents; }: readable when the process has ended. A signal of ours that is about to
    // be taken makes the call fail, though it does not wait; that says nothing of the process.
    for (;;) {
      const ready = tryLibc('poll', Int32Array.of(this.#fd, POLLIN), 1, 0);
      if (ready !== -EINTR) return ready <= 0;
    }
  }

  /** A descriptor of ours for what the process has open. @throws {SysError} SYS_EBADF, SYS_EPERM, SYS_ESRCH */
  copyDescriptor(fd: number): number {
    return libc(`pidfd_getfd(${fd})`, 'syscall', SYS_PIDFD_GETFD, this.#fd, fd, 0, 0);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
