/**
 * Dynptrs: memory and its size in 16 bytes of a program's stack, which only these helpers look into. One that could not be made is
 * empty: all of them take that. Source: Linux kernel/bpf/helpers.c, kernel/bpf/ringbuf.c.
 */
import { viewOf } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import { RINGBUF } from '../maps/ringbuf-layout.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';
import { result } from './result.ts';
import { ringbufDiscard, ringbufReserve, ringbufSubmit } from './ringbuf.ts';
import { copyRun } from './runs.ts';

/** Byte offsets: where the memory is, 0 if there is none, and how large. */
export const Dynptr = { data: 0, size: 8, bytes: 16 } as const;
/** DYNPTR_MAX_SIZE */
const MAX_SIZE = 0xff_ffff;

/** long bpf_dynptr_from_mem(void *data, u32 size, u64 flags, struct bpf_dynptr *to): 0, or -E2BIG, -EINVAL */
export const dynptrFromMem: Helper = {
  id: 197,
  name: 'bpf_dynptr_from_mem',
  args: ['dynptrMemory', 'memSizeOrZero', 'scalar', 'newLocalDynptr'],
  returns: 'scalar',
  requires: [],
  run(world, [data, size, flags, to]) {
    const count = BigInt.asUintN(32, size!);
    const errno = count > MAX_SIZE ? Errno.E2BIG : flags !== 0n ? Errno.EINVAL : 0;
    write(world, to!, errno === 0 ? data! : 0n, errno === 0 ? count : 0n);
    return result(-errno);
  },
  emit(b, [data, size, flags, to]) {
    const count = b.unary('zext32', size!);
    const isLarge = b.compare('ugt', count, MAX_SIZE);
    const errno = b.select(isLarge, -Errno.E2BIG, b.select(b.compare('ne', flags!, 0), -Errno.EINVAL, 0));
    const isBad = b.compare('ne', errno, 0);
    emitWrite(b, to!, b.select(isBad, 0, data!), b.select(isBad, 0, count));
    return errno;
  },
};

/** long bpf_ringbuf_reserve_dynptr(map, u32 size, u64 flags, struct bpf_dynptr *to): 0, or -EINVAL, -E2BIG; it has to be given back all the same */
export const ringbufReserveDynptr: Helper = {
  id: 198,
  name: 'bpf_ringbuf_reserve_dynptr',
  args: ['map', 'scalar', 'scalar', 'newRingbufDynptr'],
  returns: 'scalar',
  requires: [],
  maps: [RINGBUF],
  run(world, [map, size, flags, to]) {
    const count = BigInt.asUintN(32, size!);
    const isFit = flags === 0n && count <= MAX_SIZE;
    const data = isFit ? ringbufReserve.run(world, [map!, count, 0n]) : 0n;
    write(world, to!, data, data === 0n ? 0n : count);
    if (data !== 0n) return 0n;
    return result(flags === 0n && count > MAX_SIZE ? -Errno.E2BIG : -Errno.EINVAL);
  },
  emit(b, [map, size, flags, to], context) {
    const count = b.unary('zext32', size!);
    const isLarge = b.compare('ugt', count, MAX_SIZE);
    const data = b.choose(
      b.or(isLarge, b.compare('ne', flags!, 0)),
      () => 0,
      () => ringbufReserve.emit(b, [map!, count, b.const(0)], context),
      'cold',
    );
    const isEmpty = b.compare('eq', data, 0);
    emitWrite(b, to!, data, b.select(isEmpty, 0, count));
    const errno = b.select(b.and(isLarge, b.compare('eq', flags!, 0)), -Errno.E2BIG, -Errno.EINVAL);
    return b.select(isEmpty, errno, 0);
  },
};

/** void bpf_ringbuf_submit_dynptr(struct bpf_dynptr *, u64 flags) */
export const ringbufSubmitDynptr = finisherRow(199, 'bpf_ringbuf_submit_dynptr', ringbufSubmit);
/** void bpf_ringbuf_discard_dynptr(struct bpf_dynptr *, u64 flags) */
export const ringbufDiscardDynptr = finisherRow(200, 'bpf_ringbuf_discard_dynptr', ringbufDiscard);

function finisherRow(id: number, name: Helper['name'], { run, emit }: Helper): Helper {
  return {
    id,
    name,
    args: ['ringbufDynptr', 'scalar'],
    returns: 'void',
    requires: [],
    run(world, [dynptr, flags]) {
      const { data } = read(world, dynptr!);
      if (data !== 0n) run(world, [data, flags!]);
      write(world, dynptr!, 0n, 0n);
      return 0n;
    },
    emit(b, [dynptr, flags], context) {
      const data = b.load(8, dynptr!, Dynptr.data);
      b.when(b.compare('ne', data, 0), () => emit(b, [data, flags!], context));
      emitWrite(b, dynptr!, b.const(0), b.const(0));
      return b.const(0);
    },
  };
}

/** long bpf_dynptr_read(void *to, u32 size, struct bpf_dynptr *, u32 offset, u64 flags): 0, or -EINVAL if it is empty, -E2BIG */
export const dynptrRead: Helper = {
  id: 201,
  name: 'bpf_dynptr_read',
  args: ['memWrite', 'memSizeOrZero', 'dynptr', 'scalar', 'scalar'],
  returns: 'scalar',
  requires: [],
  run: (world, [to, size, dynptr, offset, flags]) => move(world, dynptr!, offset!, size!, flags!, to!, 'out of it'),
  emit: (b, [to, size, dynptr, offset, flags], context) =>
    emitMove(b, [dynptr!, offset!, size!, flags!, to!], 'out of it', context),
};

/** long bpf_dynptr_write(struct bpf_dynptr *, u32 offset, const void *from, u32 size, u64 flags) */
export const dynptrWrite: Helper = {
  id: 202,
  name: 'bpf_dynptr_write',
  args: ['dynptr', 'scalar', 'memRead', 'memSizeOrZero', 'scalar'],
  returns: 'scalar',
  requires: [],
  run: (world, [dynptr, offset, from, size, flags]) => move(world, dynptr!, offset!, size!, flags!, from!, 'into it'),
  emit: (b, [dynptr, offset, from, size, flags], context) =>
    emitMove(b, [dynptr!, offset!, size!, flags!, from!], 'into it', context),
};

/** void *bpf_dynptr_data(struct bpf_dynptr *, u32 offset, u32 size): where that part of it is, NULL if it has no such part */
export const dynptrData: Helper = {
  id: 203,
  name: 'bpf_dynptr_data',
  args: ['dynptr', 'scalar', 'allocationSize'],
  returns: 'dynptrMemoryOrNull',
  requires: [],
  run: (world, [dynptr, offset, size]) => partOf(world, dynptr!, offset!, size!) ?? 0n,
  emit(b, [dynptr, offset, size]) {
    const data = b.load(8, dynptr!, Dynptr.data);
    const [at, fits] = emitPart(b, dynptr!, data, offset!, size!);
    return b.select(b.and(fits, b.compare('ne', data, 0)), at, 0);
  },
};

function read({ memory }: HelperWorld, dynptr: bigint): { readonly data: bigint; readonly size: bigint } {
  const view = viewOf(memory.view(dynptr, Dynptr.bytes));
  return { data: view.getBigUint64(Dynptr.data, true), size: view.getBigUint64(Dynptr.size, true) };
}

function write({ memory }: HelperWorld, dynptr: bigint, data: bigint, size: bigint): void {
  const view = viewOf(memory.view(dynptr, Dynptr.bytes));
  view.setBigUint64(Dynptr.data, data, true);
  view.setBigUint64(Dynptr.size, size, true);
}

/** The address of a part; undefined if there is none. */
function partOf(world: HelperWorld, dynptr: bigint, offset: bigint, size: bigint): bigint | undefined {
  const { data, size: all } = read(world, dynptr);
  const [from, count] = [BigInt.asUintN(32, offset), BigInt.asUintN(32, size)];
  return data === 0n || from + count > all ? undefined : data + from;
}

function move(
  world: HelperWorld,
  dynptr: bigint,
  offset: bigint,
  size: bigint,
  flags: bigint,
  other: bigint,
  where: 'into it' | 'out of it',
): bigint {
  if (flags !== 0n || read(world, dynptr).data === 0n) return result(-Errno.EINVAL);
  const part = partOf(world, dynptr, offset, size);
  if (part === undefined) return result(-Errno.E2BIG);
  const count = Number(BigInt.asUintN(32, size));
  if (count === 0) return 0n;
  const [to, from] = where === 'into it' ? [part, other] : [other, part];
  world.memory.view(to, count).set(world.memory.view(from, count).slice());
  return 0n;
}

function emitWrite(b: Builder, dynptr: Value, data: Value, size: Value): void {
  b.store(8, dynptr, Dynptr.data, data);
  b.store(8, dynptr, Dynptr.size, size);
}

/** The address of a part, and whether there is that part. */
function emitPart(b: Builder, dynptr: Value, data: Value, offset: Value, size: Value): [at: Value, fits: Value] {
  const from = b.unary('zext32', offset);
  const end = b.add(from, b.unary('zext32', size));
  return [b.add(data, from), b.compare('ule', end, b.load(8, dynptr, Dynptr.size))];
}

function emitMove(
  b: Builder,
  args: readonly [dynptr: Value, offset: Value, size: Value, flags: Value, other: Value],
  where: 'into it' | 'out of it',
  context: EmitContext,
): Value {
  const name = where === 'into it' ? 'dynptr_write' : 'dynptr_read';
  const code = context.shared(name, 5, (fn, [dynptr, offset, size, flags, other]) => {
    const data = fn.load(8, dynptr!, Dynptr.data);
    const isBad = fn.or(fn.compare('ne', flags!, 0), fn.compare('eq', data, 0));
    fn.when(isBad, () => fn.return(-Errno.EINVAL), 'cold');
    const [part, fits] = emitPart(fn, dynptr!, data, offset!, size!);
    fn.when(fn.compare('eq', fits, 0), () => fn.return(-Errno.E2BIG), 'cold');
    const [to, from] = where === 'into it' ? [part, other!] : [other!, part];
    emitOverlapping(fn, to, from, fn.unary('zext32', size!));
    fn.return(0);
  });
  return b.call(code, args);
}

/** Copies `size` bytes between places of which both may be in the same value of a map. */
function emitOverlapping(b: Builder, to: Value, from: Value, size: Value): void {
  const isBehind = b.compare('ult', b.sub(to, from), size);
  const done = b.newBlock();
  b.when(isBehind, () => {
    // From the end on: what is written was read.
    b.loop([size], 0, (loop, [left]) => {
      b.when(b.compare('eq', left!, 0), () => loop.leave());
      const at = b.sub(left!, 1);
      b.store(1, b.add(to, at), 0, b.load(1, b.add(from, at)));
      loop.next(at);
    });
    b.jump(done);
  });
  copyRun(b, to, from, size);
  b.jump(done);
  b.at(done);
}
