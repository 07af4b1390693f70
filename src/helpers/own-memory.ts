/**
 * Memory of the process that nobody vouches for, read and written by the kernel: a bad address gives an error and no signal.
 * What lies in the page of the stack the thread stands on is read directly.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import { readFaked } from './faked-task.ts';
import type { EmitContext } from './helper.ts';
import { Syscall } from './linux.ts';
import { copyRun, zeroRun } from './runs.ts';
import { emitProcessId } from './task.ts';

export const PAGE = 4096;
/** struct iovec { void *base; size_t length; } */
const IOVEC = { base: 0, length: 8, size: 16 } as const;

/** (to, size, from) -> 0, or -EFAULT and `to` is zeros. */
export function safeRead(context: EmitContext): IrFunction {
  return context.shared('probe_read', 3, (b, [to, size, from]) => {
    b.when(b.compare('eq', size!, 0), () => b.return(0), 'cold');
    const { tasks } = context.facts;
    if (tasks !== undefined) {
      const offset = b.sub(from!, b.const(tasks.address));
      b.when(b.compare('ult', offset, tasks.size), () =>
        b.return(b.call(readFaked(tasks, context), [to!, size!, offset])),
      );
    }
    const local = b.stack(2 * IOVEC.size);
    const end = b.add(from!, b.sub(size!, 1));
    const pagesApart = b.or(b.xor(from!, local), b.xor(end, local));
    b.when(b.compare('ult', pagesApart, PAGE), () => {
      copyRun(b, to!, from!, size!);
      b.return(0);
    });
    const copied = emitTransfer(b, Syscall.process_vm_readv, local, { own: to!, other: from!, size: size! }, context);
    b.when(b.compare('eq', copied, size!), () => b.return(0));
    zeroRun(b, to!, size!);
    b.return(-Errno.EFAULT);
  });
}

/** (to, from, size) -> 0 or -EFAULT; what lies in front of the first bad page may be written then. */
export function safeWrite(context: EmitContext): IrFunction {
  return context.shared('probe_write', 3, (b, [to, from, size]) => {
    const vectors = b.stack(2 * IOVEC.size);
    const moved = { own: from!, other: to!, size: size! };
    const written = emitTransfer(b, Syscall.process_vm_writev, vectors, moved, context);
    b.return(b.select(b.compare('eq', written, size!), 0, -Errno.EFAULT));
  });
}

function emitTransfer(
  b: Builder,
  call: number,
  vectors: Value,
  { own, other, size }: { own: Value; other: Value; size: Value },
  context: EmitContext,
): Value {
  const remote = b.add(vectors, IOVEC.size);
  for (const [vector, base] of [
    [vectors, own],
    [remote, other],
  ] as const) {
    b.store(8, vector, IOVEC.base, base);
    b.store(8, vector, IOVEC.length, size);
  }
  return b.syscall(call, [emitProcessId(b, context), vectors, 1, remote, 1, 0]);
}
