/**
 * Memory of the process that nobody vouches for, read and written by the kernel: a bad address gives an error and no signal.
 * What lies in the page of the stack the thread stands on, and what lasts as long as the program does, is read directly.
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

/** Up to this many bytes are read by code of their own for each size. */
const MAX_FIXED = 64;

/** Emits a read: 0, or -EFAULT and `to` is zeros. `size` is one of 32 bits. */
export function emitSafeRead(b: Builder, to: Value, size: Value, from: Value, context: EmitContext): Value {
  const { operation } = size;
  const bytes = operation.op === 'const' ? Number(operation.value) : 0;
  if (bytes === 0 || bytes > MAX_FIXED) return b.call(safeRead(context), [to, size, from]);
  const read = context.shared(`probe_read_${bytes}`, 2, (fn, [to, from]) => {
    const copy = () => {
      fn.copy(to!, 0, from!, 0, bytes);
      fn.return(0);
    };
    for (const { start, end } of context.facts.lasting ?? []) {
      const last = end - start - BigInt(bytes);
      if (last >= 0n) fn.when(fn.compare('ule', fn.sub(from!, fn.const(start)), fn.const(last)), copy);
    }
    fn.when(isInPageOf(fn, fn.stack(8), from!, fn.add(from!, bytes - 1)), copy);
    fn.return(fn.call(safeRead(context), [to!, fn.const(bytes), from!]));
  });
  return b.call(read, [to, from]);
}

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
    for (const { start, end } of context.facts.lasting ?? []) {
      const offset = b.sub(from!, b.const(start));
      const left = b.sub(b.const(end - start), offset);
      b.when(b.and(b.compare('ult', offset, b.const(end - start)), b.compare('ule', size!, left)), () => {
        copyRun(b, to!, from!, size!);
        b.return(0);
      });
    }
    const local = b.stack(2 * IOVEC.size);
    b.when(isInPageOf(b, local, from!, b.add(from!, b.sub(size!, 1))), () => {
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

/** Whether the first and the last byte lie in the page of a place. */
function isInPageOf(b: Builder, place: Value, first: Value, last: Value): Value {
  return b.compare('ult', b.or(b.xor(first, place), b.xor(last, place)), PAGE);
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
