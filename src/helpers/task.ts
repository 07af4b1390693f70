/** Who runs: process, thread and its name. Ids are those of the target's own pid namespace. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper } from './helper.ts';
import { PR_GET_NAME, Syscall, TASK_COMM_LEN } from './linux.ts';
import { result } from './result.ts';
import { zeroRun } from './runs.ts';

/** u64 bpf_get_current_pid_tgid(void): process id << 32 | thread id */
export const getCurrentPidTgid: Helper = {
  id: 14,
  name: 'bpf_get_current_pid_tgid',
  args: [],
  returns: 'scalar',
  requires: ['syscall'],
  run: (world) => world.pidTgid,
  emit(b, _args, context) {
    const tid = emitThreadId(b, context);
    return b.or(b.shl(emitProcessId(b, context), 32), tid);
  },
};

/** long bpf_get_current_comm(void *buf, u32 size): the thread's name, cut and padded with zeros to `size` bytes */
export const getCurrentComm: Helper = {
  id: 16,
  name: 'bpf_get_current_comm',
  args: ['memWrite', 'memSize'],
  returns: 'scalar',
  requires: ['syscall'],
  run(world, [buffer, size]) {
    const count = Number(BigInt.asUintN(32, size!));
    if (count === 0) return result(-Errno.EINVAL);
    const bytes = world.memory.view(buffer!, count).fill(0);
    bytes.set(new TextEncoder().encode(world.comm).subarray(0, Math.min(count, TASK_COMM_LEN) - 1));
    return 0n;
  },
  emit(b, [buffer, size], context) {
    return b.call(context.shared('current_comm', 2, writeComm), [buffer!, b.unary('zext32', size!)]);
  },
};

/** u64 bpf_get_current_uid_gid(void): group id << 32 | user id, as the process itself is told */
export const getCurrentUidGid: Helper = {
  id: 15,
  name: 'bpf_get_current_uid_gid',
  args: [],
  returns: 'scalar',
  requires: ['syscall'],
  run: (world) => world.uidGid,
  emit(b) {
    const group = b.syscall(Syscall.getgid, []);
    return b.or(b.shl(group, 32), b.syscall(Syscall.getuid, []));
  },
};

/** u64 bpf_get_current_cgroup_id(void): of the group that the process was in when the controller came */
export const getCurrentCgroupId: Helper = {
  id: 80,
  name: 'bpf_get_current_cgroup_id',
  args: [],
  returns: 'scalar',
  requires: [],
  run: () => 0n,
  emit: (b, _args, { facts }) => b.const(facts.outside?.cgroupId ?? 0n),
};

/** struct bpf_pidns_info { u32 pid; u32 tgid; } */
const PIDNS_INFO_SIZE = 8;

/**
 * long bpf_get_ns_current_pid_tgid(u64 dev, u64 ino, struct bpf_pidns_info *info, u32 size): 0, or -EINVAL and zeros if the threads are
 * not numbered in that namespace
 */
export const getNsCurrentPidTgid: Helper = {
  id: 120,
  name: 'bpf_get_ns_current_pid_tgid',
  args: ['scalar', 'scalar', 'memWrite', 'memSize'],
  returns: 'scalar',
  requires: ['syscall'],
  run(world, [, , info, size]) {
    world.memory.view(info!, Number(BigInt.asUintN(32, size!))).fill(0);
    return result(-Errno.EINVAL);
  },
  emit(b, [device, inode, info, size], context) {
    const { pidNamespace } = context.facts.outside ?? {};
    const count = b.unary('zext32', size!);
    const refuse = (): number => {
      zeroRun(b, info!, count);
      return -Errno.EINVAL;
    };
    if (pidNamespace === undefined) return b.const(refuse());
    const differs = b.or(
      b.or(b.xor(device!, pidNamespace.device), b.xor(inode!, pidNamespace.inode)),
      b.xor(count, PIDNS_INFO_SIZE),
    );
    return b.choose(
      b.compare('eq', differs, 0),
      () => {
        b.store(4, info!, 0, emitThreadId(b, context));
        b.store(4, info!, 4, emitProcessId(b, context));
        return 0;
      },
      refuse,
    );
  },
};

/** Emits the thread id: read where the C library keeps it, else asked of the kernel. */
export function emitThreadId(b: Builder, { facts: { tidOffset } }: EmitContext): Value {
  return tidOffset === undefined ? b.syscall(Syscall.gettid, []) : b.threadLoad(4, tidOffset);
}

/**
 * Emits the process id: asked of the kernel once, then read from the target's own cell. A child of vfork, which has its parent's
 * memory and thread block, leaves nothing there.
 */
export function emitProcessId(b: Builder, { facts }: EmitContext): Value {
  const cell = b.const(facts.pidCell);
  const known = b.load(4, cell);
  return b.choose(
    b.compare('eq', known, 0),
    () => {
      const asked = b.syscall(Syscall.getpid, []);
      const { tidOffset } = facts;
      if (tidOffset === undefined) b.store(4, cell, 0, asked);
      else {
        const isOwner = b.compare('eq', b.unary('zext32', b.syscall(Syscall.gettid, [])), b.threadLoad(4, tidOffset));
        b.when(isOwner, () => b.store(4, cell, 0, asked));
      }
      return asked;
    },
    () => known,
    'cold',
  );
}

/** (buffer, size) -> 0 or -EINVAL. The kernel knows the name only in full, so it goes through a buffer of our own. */
function writeComm(b: Builder, [buffer, size]: Value[]): void {
  b.when(b.compare('eq', size!, 0), () => b.return(-Errno.EINVAL), 'cold');
  const name = b.stack(TASK_COMM_LEN);
  const failed = b.syscall(Syscall.prctl, [PR_GET_NAME, name]);
  b.when(
    b.compare('ne', failed, 0),
    () => {
      zeroRun(b, buffer!, size!);
      b.return(-Errno.EINVAL);
    },
    'cold',
  );
  const last = b.sub(size!, 1);
  b.loop([b.const(0)], 0, (loop, [at]) => {
    // The name's last byte is its NUL: what lies behind reads as that one.
    const from = b.select(b.compare('ult', at!, TASK_COMM_LEN), at!, TASK_COMM_LEN - 1);
    b.store(1, b.add(buffer!, at!), 0, b.load(1, b.add(name, from)));
    b.when(b.compare('eq', at!, last), () => loop.leave());
    loop.next(b.add(at!, 1));
  });
  b.store(1, b.add(buffer!, last), 0, 0);
  b.return(0);
}
