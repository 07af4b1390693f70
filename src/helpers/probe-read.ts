/**
 * Reads of memory that nobody vouches for. A bad address gives -EFAULT and no signal, so the reading is the kernel's:
 * process_vm_readv on the process itself. What lies in the page of the stack the thread stands on is read directly.
 */
import { BpfError } from '../errors.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';
import { Syscall } from './linux.ts';
import { result } from './result.ts';
import { copyRun, zeroRun } from './runs.ts';
import { emitProcessId } from './task.ts';

const PAGE = 4096;
/** struct iovec { void *base; size_t length; } */
const IOVEC = { base: 0, length: 8, size: 16 } as const;

/** The part of the row that all names share. */
const probeReadRow: Omit<Helper, 'id' | 'name'> = {
  args: ['memWrite', 'memSizeOrZero', 'any'],
  returns: 'scalar',
  requires: ['syscall'],
  run: (world, [to, size, from]) => result(read(world, to!, Number(BigInt.asUintN(32, size!)), from!)),
  emit(b, [to, size, from], context) {
    const probeRead = context.shared('probe_read', 3, (body, params) => emitRead(body, params, context));
    return b.call(probeRead, [to!, b.unary('zext32', size!), from!]);
  },
};

/** long bpf_probe_read(void *to, u32 size, const void *from): a program in user space has only user memory to read */
export const probeRead: Helper = { id: 4, name: 'bpf_probe_read', ...probeReadRow };

/** long bpf_probe_read_user(void *to, u32 size, const void *from): 0, or -EFAULT and `to` is zeros */
export const probeReadUser: Helper = { id: 112, name: 'bpf_probe_read_user', ...probeReadRow };

/** long bpf_probe_read_kernel(void *to, u32 size, const void *from): the context it is used on lies on the stack */
export const probeReadKernel: Helper = { id: 113, name: 'bpf_probe_read_kernel', ...probeReadRow };

function read({ memory }: HelperWorld, to: bigint, size: number, from: bigint): number {
  if (size === 0) return 0;
  const target = memory.view(to, size);
  try {
    target.set(memory.view(from, size));
    return 0;
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    target.fill(0);
    return -Errno.EFAULT;
  }
}

/** (to, size, from) -> 0 or -EFAULT */
function emitRead(b: Builder, [to, size, from]: Value[], context: EmitContext): void {
  b.when(b.compare('eq', size!, 0), () => b.return(0), 'cold');
  const local = b.stack(2 * IOVEC.size);
  const end = b.add(from!, b.sub(size!, 1));
  const pagesApart = b.or(b.xor(from!, local), b.xor(end, local));
  b.when(b.compare('ult', pagesApart, PAGE), () => {
    copyRun(b, to!, from!, size!);
    b.return(0);
  });

  const remote = b.add(local, IOVEC.size);
  for (const [vector, base] of [
    [local, to!],
    [remote, from!],
  ] as const) {
    b.store(8, vector, IOVEC.base, base);
    b.store(8, vector, IOVEC.length, size!);
  }
  const copied = b.syscall(Syscall.process_vm_readv, [emitProcessId(b, context), local, 1, remote, 1, 0]);
  b.when(b.compare('eq', copied, size!), () => b.return(0));
  zeroRun(b, to!, size!);
  b.return(-Errno.EFAULT);
}
