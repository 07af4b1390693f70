/**
 * BPF_MAP_TYPE_USER_RINGBUF: samples from the host to programs, in the order they were begun. The layout is drawn in
 * user-ringbuf-layout.ts. Results as in Linux kernel/bpf/ringbuf.c.
 */
import { alignUp } from '../bytes/align.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, type MapType, type ThreadOwner } from './map-type.ts';
import { checkRing } from './ringbuf.ts';
import { checkSize } from './spec-check.ts';
import { UserRingHost } from './user-ringbuf-host.ts';
import { UNKNOWN_THREAD, USER_RINGBUF, UserRing, userRingBytes } from './user-ringbuf-layout.ts';

/** Samples that the host writes and programs drain. */
export const userRingbuf: MapType = {
  id: USER_RINGBUF,
  name: 'user_ringbuf',
  check(spec) {
    checkRing(spec, 'user_ringbuf');
    checkSize(spec, userRingBytes(spec));
  },
  size: (spec) => alignUp(userRingBytes(spec), 64),
  init: () => undefined,
  host: userRingHost,
  // Nobody is at work here who could be found at it.
  recover({ words }) {
    Atomics.store(words, UserRing.busy / 8, 0n);
  },
  emitLookup: (b) => b.const(0),
  emitUpdate: (b) => b.const(-Errno.EOPNOTSUPP),
  emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
};

/** There is nothing to look up: what it has is its producer, and a program's thread that drains it. */
function userRingHost(memory: MapMemory, spec: MapSpec): HostMap {
  const busy = (): bigint => BigInt.asUintN(64, Atomics.load(memory.words, UserRing.busy / 8));
  return {
    lookup: () => undefined,
    update: () => -Errno.EOPNOTSUPP,
    delete: () => -Errno.EOPNOTSUPP,
    entries: () => [],
    samples: new UserRingHost(memory, spec),
    owners: {
      all() {
        const thread = Number(BigInt.asUintN(32, busy()));
        return thread === 0 || thread === UNKNOWN_THREAD ? [] : [{ thread, namespace: Number(busy() >> 32n) }];
      },
      forget({ thread, namespace }: ThreadOwner) {
        const owner = BigInt.asIntN(64, (BigInt(namespace) << 32n) | BigInt(thread));
        Atomics.compareExchange(memory.words, UserRing.busy / 8, owner, 0n);
      },
    },
  };
}
