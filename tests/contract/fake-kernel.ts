/** The few system calls and vDSO functions that emitted helpers use, over the evaluator's memory. */
import { viewOf } from '../../src/bytes/struct.ts';
import { Errno } from '../../src/maps/map-type.ts';
import type { EvaluatorMemory } from '../support/ir-evaluator.ts';

/** The process and thread that all helper tests run in. */
export const THREAD = { pid: 4242, tid: 4243, comm: 'worker/0', nowNs: 12_000_000_345n, uid: 1000, gid: 100 } as const;

type Call = (args: readonly bigint[], memory: EvaluatorMemory) => bigint;

const CLOCKS: ReadonlySet<bigint> = new Set([1n, 6n, 7n, 11n]);

/** int clock_gettime(clockid_t, struct timespec *): every clock is ahead of the time by its number. */
export const clockGettime: Call = ([clock, timespec], memory) => {
  if (!CLOCKS.has(clock!)) return -BigInt(Errno.EINVAL);
  const view = viewOf(memory.view(timespec!, 16));
  const now = THREAD.nowNs + clock!;
  view.setBigUint64(0, now / 1_000_000_000n, true);
  view.setBigUint64(8, now % 1_000_000_000n, true);
  return 0n;
};

/** By number, x86-64. */
const CALLS: Readonly<Record<number, Call>> = {
  39: () => BigInt(THREAD.pid),
  102: () => BigInt(THREAD.uid),
  104: () => BigInt(THREAD.gid),
  186: () => BigInt(THREAD.tid),
  228: clockGettime,
  157([option, name], memory) {
    if (option !== 16n) return -BigInt(Errno.EINVAL);
    memory.view(name!, 16).fill(0).set(new TextEncoder().encode(THREAD.comm));
    return 0n;
  },
  310([pid, local, , remote], memory) {
    if (pid !== BigInt(THREAD.pid)) return -BigInt(Errno.EPERM);
    const [to, size] = iovec(memory, local!);
    const [from] = iovec(memory, remote!);
    return readable(memory, from, to, Number(size));
  },
  311([pid, local, , remote], memory) {
    if (pid !== BigInt(THREAD.pid)) return -BigInt(Errno.EPERM);
    const [from, size] = iovec(memory, local!);
    const [to] = iovec(memory, remote!);
    return readable(memory, from, to, Number(size));
  },
};

/** Answers a system call, or fails it as `failing` says. */
export function systemCall(
  failing: Readonly<Record<number, bigint>>,
): (number: number, args: readonly bigint[], memory: EvaluatorMemory) => bigint {
  return (number, args, memory) => {
    const call = CALLS[number];
    if (call === undefined) throw new Error(`a helper makes system call ${number}, which this kernel does not know`);
    return failing[number] ?? call(args, memory);
  };
}

/** Copies as process_vm_readv does: up to the first byte that is not mapped. */
function readable(memory: EvaluatorMemory, from: bigint, to: bigint, size: number): bigint {
  for (let at = 0; at < size; at++) {
    try {
      memory.view(to + BigInt(at), 1).set(memory.view(from + BigInt(at), 1));
    } catch {
      return at === 0 ? -BigInt(Errno.EFAULT) : BigInt(at);
    }
  }
  return BigInt(size);
}

function iovec(memory: EvaluatorMemory, address: bigint): readonly [base: bigint, length: bigint] {
  const view = viewOf(memory.view(address, 16));
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}
