/** Reads of memory that nobody vouches for: see own-memory.ts. */
import { BpfError } from '../errors.ts';
import { Errno } from '../maps/map-type.ts';
import type { Helper, HelperWorld } from './helper.ts';
import { emitSafeRead } from './own-memory.ts';
import { result } from './result.ts';

/** The part of the row that all names share. */
const probeReadRow: Omit<Helper, 'id' | 'name'> = {
  args: ['memWrite', 'memSizeOrZero', 'any'],
  returns: 'scalar',
  requires: ['syscall'],
  run: (world, [to, size, from]) => result(read(world, to!, Number(BigInt.asUintN(32, size!)), from!)),
  emit(b, [to, size, from], context) {
    const { operation } = size!;
    const bytes = operation.op === 'const' ? b.const(BigInt.asUintN(32, operation.value)) : b.unary('zext32', size!);
    return emitSafeRead(b, to!, bytes, from!, context);
  },
};

/** long bpf_probe_read(void *to, u32 size, const void *from): a program in user space has only user memory to read */
export const probeRead: Helper = { id: 4, name: 'bpf_probe_read', ...probeReadRow };

/** long bpf_probe_read_user(void *to, u32 size, const void *from): 0, or -EFAULT and `to` is zeros */
export const probeReadUser: Helper = { id: 112, name: 'bpf_probe_read_user', ...probeReadRow };

/** long bpf_probe_read_kernel(void *to, u32 size, const void *from): the context it is used on lies on the stack */
export const probeReadKernel: Helper = { id: 113, name: 'bpf_probe_read_kernel', ...probeReadRow };

/** long bpf_copy_from_user(void *to, u32 size, const void *from): nobody has to sleep for it here */
export const copyFromUser: Helper = { id: 148, name: 'bpf_copy_from_user', ...probeReadRow };

/** long bpf_copy_from_user_task(void *to, u32 size, const void *from, struct task_struct *, u64 flags): the only task is our own */
export const copyFromUserTask: Helper = {
  id: 191,
  name: 'bpf_copy_from_user_task',
  args: ['memWrite', 'memSizeOrZero', 'any', 'task', 'scalar'],
  returns: 'scalar',
  requires: ['syscall'],
  run: (world, [to, size, from, , flags]) =>
    flags === 0n ? probeReadRow.run(world, [to!, size!, from!]) : result(-Errno.EINVAL),
  emit: (b, [to, size, from, , flags], context) =>
    b.choose(
      b.compare('eq', flags!, 0),
      () => probeReadRow.emit(b, [to!, size!, from!], context),
      () => -Errno.EINVAL,
    ),
};

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
