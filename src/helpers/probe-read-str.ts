/** Strings read from memory that nobody vouches for: see own-memory.ts. Source: Linux mm/maccess.c, kernel/trace/bpf_trace.c. */
import { BpfError } from '../errors.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';
import { PAGE, safeRead } from './own-memory.ts';
import { result } from './result.ts';
import { zeroRun } from './runs.ts';

/** Bytes that are asked for at a time, and lie on the stack until the NUL among them is found: what is behind it is not the program's. */
const CHUNK = 64;

/** The part of the row that all names share. */
const readStringRow: Omit<Helper, 'id' | 'name'> = {
  args: ['memWrite', 'memSizeOrZero', 'any'],
  returns: 'sizeOrError',
  requires: ['syscall'],
  run: (world, [to, size, from]) => result(readString(world, to!, Number(BigInt.asUintN(32, size!)), from!)),
  emit(b, [to, size, from], context) {
    const read = context.shared('probe_read_str', 3, (body, params) => emitReadString(body, params, context));
    return b.call(read, [to!, b.unary('zext32', size!), from!]);
  },
};

/** long bpf_probe_read_str(void *to, u32 size, const void *from) */
export const probeReadStr: Helper = { id: 45, name: 'bpf_probe_read_str', ...readStringRow };

/**
 * long bpf_probe_read_user_str(void *to, u32 size, const void *from): the length with its NUL, or -EFAULT and `to` is zeros. What is
 * longer than `size` is cut, and ends in a NUL all the same. What lies in `to` behind the NUL stays.
 */
export const probeReadUserStr: Helper = { id: 114, name: 'bpf_probe_read_user_str', ...readStringRow };

/** long bpf_probe_read_kernel_str(void *to, u32 size, const void *from) */
export const probeReadKernelStr: Helper = { id: 115, name: 'bpf_probe_read_kernel_str', ...readStringRow };

function readString({ memory }: HelperWorld, to: bigint, size: number, from: bigint): number {
  if (size === 0) return 0;
  const target = memory.view(to, size);
  const text: number[] = [];
  try {
    while (text.length < size && text.at(-1) !== 0) text.push(memory.view(from + BigInt(text.length), 1)[0]!);
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    target.fill(0);
    return -Errno.EFAULT;
  }
  text[text.length - 1] = 0;
  target.set(text);
  return text.length;
}

/** (to, size, from) -> length or -EFAULT. No chunk goes beyond its page: the next one need not be there. */
function emitReadString(b: Builder, [to, size, from]: Value[], context: EmitContext): void {
  b.when(b.compare('eq', size!, 0), () => b.return(0), 'cold');
  const read = safeRead(context);
  const chunk = b.stack(CHUNK);
  b.loop([b.const(0)], 0, (next, [done]) => {
    const source = b.add(from!, done!);
    const inPage = b.sub(b.const(PAGE), b.and(source, PAGE - 1));
    const length = least(b, least(b, inPage, b.const(CHUNK)), b.sub(size!, done!));
    b.when(
      b.compare('ne', b.call(read, [chunk, length, source]), 0),
      () => {
        zeroRun(b, to!, size!);
        b.return(-Errno.EFAULT);
      },
      'cold',
    );
    const target = b.add(to!, done!);
    b.loop([b.const(0)], 0, (bytes, [at]) => {
      b.when(b.compare('eq', at!, length), () => bytes.leave());
      const byte = b.load(1, b.add(chunk, at!));
      b.store(1, b.add(target, at!), 0, byte);
      const following = b.add(at!, 1);
      b.when(b.compare('eq', byte, 0), () => b.return(b.add(done!, following)));
      bytes.next(following);
    });
    const sum = b.add(done!, length);
    b.when(b.compare('eq', sum, size!), () => {
      b.store(1, b.add(to!, b.sub(size!, 1)), 0, 0);
      b.return(size!);
    });
    next.next(sum);
  });
  b.return(0);
}

function least(b: Builder, a: Value, other: Value): Value {
  return b.select(b.compare('ult', a, other), a, other);
}
