/**
 * What threads of the target run to drain a ring that the host fills. One of them at a time: it notes itself in the ring, so that one
 * which ends meanwhile can be told from one that is at work. Everything read from the ring is bounded before it is used: a place in it by
 * its size, a sample by the ring's, and the whole by a number of samples. Linux kernel/bpf/ringbuf.c, bpf_user_ringbuf_drain.
 */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno, type MapSpec } from './map-type.ts';
import { emitWake, RingFlag } from './ringbuf-code.ts';
import { BUSY, DISCARDED, LENGTH } from './ringbuf-layout.ts';
import { MAX_SAMPLE, MOST_SAMPLES, SAMPLE_HEADER, UserRing, userRingSize } from './user-ringbuf-layout.ts';

/** What the code needs to know. */
export interface DrainPlace {
  /** The address of the map in the target. */
  readonly address: bigint;
  /** False where a system call must not be made: the host looks by itself then. */
  readonly wakes: boolean;
  /** The running thread: its id | number of its pid namespace << 32, never 0. */
  thread(b: Builder): Value;
  /** Gets the address of a sample's bytes and how many there are; a number that is not zero ends it. */
  visit(data: Value, size: Value): Value;
}

/** Why a round ended, where that is no error. */
const DONE = 0;

/** Emits bpf_user_ringbuf_drain: how many samples there were, or a negative errno. */
export function emitDrain(b: Builder, spec: MapSpec, place: DrainPlace, flags: Value): Value {
  const ring = b.const(place.address);
  return b.choose(
    b.compare('ugt', flags, RingFlag.NO_WAKEUP | RingFlag.FORCE_WAKEUP),
    () => -Errno.EINVAL,
    () =>
      b.choose(
        b.compare('ne', b.cmpxchg(8, ring, UserRing.busy, 0, place.thread(b)), 0),
        () => -Errno.EBUSY,
        () => {
          const { errno, passed, seen } = emitSamples(b, ring, userRingSize(spec), place);
          b.store(8, ring, UserRing.busy, 0);
          if (place.wakes) emitWake(b, ring, UserRing.waiting, () => isWakeWanted(b, flags, passed));
          return b.select(b.compare('eq', errno, DONE), seen, errno);
        },
        'cold',
      ),
    'cold',
  );
}

interface Drained {
  readonly errno: Value;
  /** How many samples are no longer there. */
  readonly passed: Value;
  /** How many of them programs saw: the others were discarded. */
  readonly seen: Value;
}

function emitSamples(b: Builder, ring: Value, size: number, { visit }: DrainPlace): Drained {
  const begin = b.and(b.load(8, ring, UserRing.consumer), -8);
  const [errno, passed, seen] = b.loop([begin, b.const(0), b.const(0)], 3, (round, [position, passed, seen]) => {
    const leaveIf = (condition: Value, errno: number): void => {
      b.when(condition, () => round.leave(b.const(errno), passed!, seen!));
    };
    leaveIf(b.compare('eq', passed!, MOST_SAMPLES), DONE);
    const producer = b.load(8, ring, UserRing.producer);
    leaveIf(b.compare('test', producer, 7), -Errno.EINVAL);
    leaveIf(b.compare('uge', position!, producer), DONE);
    const sample = b.add(b.and(position!, size - 8), ring);
    const header = b.load(4, sample, UserRing.data);
    const length = b.and(header, LENGTH);
    const advance = b.and(b.add(length, SAMPLE_HEADER + 7), -8);
    leaveIf(b.compare('ugt', advance, b.sub(producer, position!)), -Errno.EINVAL);
    leaveIf(b.compare('ugt', advance, size), -Errno.E2BIG);
    // No sample of a smaller ring is too large for a program.
    if (size > MAX_SAMPLE) leaveIf(b.compare('ugt', length, MAX_SAMPLE), -Errno.E2BIG);
    const next = b.add(position!, advance);
    const passedNow = b.add(passed!, 1);
    b.when(
      b.compare('test', header, DISCARDED),
      () => {
        b.store(8, ring, UserRing.consumer, next);
        round.next(next, passedNow, seen!);
      },
      'cold',
    );
    leaveIf(b.compare('test', header, BUSY), DONE);
    const stops = visit(b.add(sample, UserRing.data + SAMPLE_HEADER), length);
    b.store(8, ring, UserRing.consumer, next);
    const seenNow = b.add(seen!, 1);
    b.when(stops, () => round.leave(b.const(DONE), passedNow, seenNow));
    round.next(next, passedNow, seenNow);
  });
  return { errno: errno!, passed: passed!, seen: seen! };
}

/** There is room now, if any are gone; programs may say that somebody be told anyway, or nobody. */
function isWakeWanted(b: Builder, flags: Value, passed: Value): Value {
  const isQuiet = b.compare('test', flags, RingFlag.NO_WAKEUP);
  const isNews = b.select(isQuiet, 0, b.compare('ne', passed, 0));
  return b.or(b.compare('test', flags, RingFlag.FORCE_WAKEUP), isNews);
}
