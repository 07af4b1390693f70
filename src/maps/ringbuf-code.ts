/**
 * What threads of the target run to write records into a ring. There is no lock, and nobody waits: any of them may be interrupted
 * by a handler that writes records too, or stop for ever, at any instruction.
 *
 * - A record is begun by one compare-and-exchange of its head: what was there, for (length, thread, position). While the
 *   producer's position is unchanged that head has not been taken; once it has, the position is moved on by whoever
 *   comes by first. So every record that was begun has a length, and those behind it can be found.
 * - Only who began a record finishes it: a plain store clears its busy bit.
 * - What belongs to a position is told from what an earlier lap left by the position in the head; nothing needs to be cleared.
 *
 * A record whose thread dies before it is finished holds up the consumer, not producers; the head says whose it is.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import type { MapSpec } from './map-type.ts';
import {
  BUSY,
  DISCARDED,
  LENGTH,
  longestRecord,
  RingHead,
  RingHeader,
  ringLayout,
  TAG_SIZE,
} from './ringbuf-layout.ts';

/** Flags of bpf_ringbuf_submit and its kin. */
export const RingFlag = { NO_WAKEUP: 1, FORCE_WAKEUP: 2 } as const;

/** futex(2): the number of the call, what it is to do, and whom to wake. */
const SYS_FUTEX = 202;
const FUTEX_WAKE = 1;
const ALL = 0x7fff_ffff;

/** What the code of a ring needs to know. */
export interface RingPlace {
  /** The address of the map in the target. */
  readonly address: bigint;
  shared(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction;
  /** The thread that runs, 0 where it cannot be told. */
  thread(b: Builder): Value;
  /** False where a system call must not be made: the consumer looks by itself then. */
  readonly wakes: boolean;
}

/** (size) -> the address of that many bytes, or 0 if there is no room, which is counted. */
export function ringReserve(spec: MapSpec, place: RingPlace): IrFunction {
  const { size, data, heads } = ringLayout(spec);
  const [header, firstRecord, firstHead] = [0, data, heads].map((offset) => place.address + BigInt(offset));
  return place.shared(`${spec.name}.reserve`, 1, (b, [length]) => {
    const ring = b.const(header!);
    const refuse = (): void => {
      b.atomic('add', 8, ring, RingHeader.dropped, 1);
      b.return(0);
    };
    b.when(b.compare('ugt', length!, longestRecord(size)), refuse, 'cold');
    const advance = emitAdvance(b, length!);
    const [offset] = b.loop([], 1, (retry) => {
      const position = b.load(8, ring, RingHeader.producer);
      const moveOn = (by: Value): Value => b.cmpxchg(8, ring, RingHeader.producer, position, b.add(position, by));
      const used = b.sub(b.add(position, advance), b.load(8, ring, RingHeader.consumer));
      b.when(
        b.compare('ugt', used, size - 1),
        () => {
          // What was read at two times may look full and not be.
          b.when(b.compare('eq', b.load(8, ring, RingHeader.producer), position), refuse);
          retry.next();
        },
        'cold',
      );
      const at = b.and(position, size - 1);
      const head = b.add(b.and(at, -RingHead.size), firstHead!);
      // The position first: if it is this one, so is the length read behind it, as long as nobody has moved on.
      const headPosition = b.load(8, head, RingHead.position);
      const headLength = b.load(8, head, RingHead.length);
      b.when(b.compare('ne', b.load(8, ring, RingHeader.producer), position), () => retry.next(), 'cold');
      const wanted = b.add(position, 1);
      b.when(
        b.compare('eq', headPosition, wanted),
        () => {
          moveOn(emitAdvance(b, b.and(headLength, LENGTH)));
          retry.next();
        },
        'cold',
      );
      const begun = b.or(b.or(length!, BUSY), b.shl(place.thread(b), 32));
      const took = b.cmpxchg16(head, 0, [headLength, headPosition], [begun, wanted]);
      b.when(b.compare('eq', took, 0), () => retry.next(), 'cold');
      moveOn(advance);
      retry.leave(at);
    });
    const record = b.add(offset!, firstRecord!);
    b.store(8, record, 0, header!);
    b.return(b.add(record, TAG_SIZE));
  });
}

/** (record, flags) -> 0: a record of any ring is finished, which its tag tells. */
export function ringFinish(how: 'submit' | 'discard', place: Omit<RingPlace, 'address' | 'thread'>): IrFunction {
  return place.shared(`ring.${how}`, 2, (b, [record, flags]) => {
    const ring = b.load(8, record!, -TAG_SIZE);
    const heads = b.add(ring, b.load(8, ring, RingHeader.heads));
    emitFinish(b, { ring, heads, record: record!, flags: flags! }, how, place.wakes);
    b.return(0);
  });
}

/** Finishes a record of this ring, whose tag may be anything. */
export function emitSubmit(b: Builder, spec: MapSpec, place: RingPlace, record: Value, flags: Value): void {
  const ring = b.const(place.address);
  const heads = b.const(place.address + BigInt(ringLayout(spec).heads));
  emitFinish(b, { ring, heads, record, flags }, 'submit', place.wakes);
}

interface Finished {
  readonly ring: Value;
  /** The address of the first head. */
  readonly heads: Value;
  readonly record: Value;
  readonly flags: Value;
}

function emitFinish(
  b: Builder,
  { ring, heads, record, flags }: Finished,
  how: 'submit' | 'discard',
  wakes: boolean,
): void {
  const offset = b.sub(b.sub(record, RingHeader.size + TAG_SIZE), ring);
  const head = b.add(b.and(offset, -RingHead.size), heads);
  const word = b.load(4, head, RingHead.length);
  b.store(4, head, RingHead.length, b.xor(word, how === 'submit' ? BUSY : BUSY | DISCARDED));
  if (!wakes) return;
  // Without a fence the record may come later than this look: so a consumer that sleeps looks by itself now and then.
  emitWake(b, ring, RingHeader.waiting, () => b.compare('ntest', flags, RingFlag.NO_WAKEUP));
}

/** Emits the waking of whoever waits on the word there, if anybody does and `wanted` is not 0. */
export function emitWake(b: Builder, ring: Value, word: number, wanted: () => Value): void {
  b.when(
    b.compare('ne', b.load(4, ring, word), 0),
    () => {
      b.when(wanted(), () => {
        const waiting = b.atomic('xchg', 4, ring, word, 0);
        b.when(b.compare('ne', waiting, 0), () => {
          b.syscall(SYS_FUTEX, [b.add(ring, word), FUTEX_WAKE, ALL]);
        });
      });
    },
    'cold',
  );
}

/** How far a record reaches: see recordAdvance. */
function emitAdvance(b: Builder, length: Value): Value {
  const least = b.select(b.compare('eq', length, 0), 1, length);
  return b.and(b.add(least, TAG_SIZE + 7), -8);
}
