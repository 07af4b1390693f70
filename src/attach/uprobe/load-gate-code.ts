/**
 * What a thread runs that has loaded a library, in front of its constructors: it tells the controller and waits until that has
 * attached what is to be attached. It waits only while somebody is there to answer: the lease tells when the controller has
 * died, a count when it does not answer: then the gate is closed until it does. A forked child does not wait: its gate is closed, since the cell that opens it is wiped.
 */
import { FUTEX_WAIT, FUTEX_WAKE, Syscall } from '../../helpers/linux.ts';
import type { PrivateCells } from '../../inject/injection.ts';
import type { Meeting } from '../../inject/meeting.ts';
import { Builder } from '../../ir/builder.ts';
import { optimize } from '../../ir/passes/optimize.ts';
import type { IrFunction, Value } from '../../ir/value.ts';
import { RDebugState } from '../../process/r-debug.ts';

/** How often a thread waits, and for how long at a time; a signal ends a wait too. Four seconds in all where none comes. */
const WAITS = 4000;
const WAIT_NS = 1_000_000;
/** struct timespec */
const Time = { seconds: 0, nanoseconds: 8, size: 16 } as const;

export interface LoadGatePlace
  extends Pick<PrivateCells, 'gateOpen' | 'gateState'>,
    Pick<Meeting, 'requestsCell' | 'answersCell'> {
  /** Address of the lease word, and what of it says that its holder has died. */
  readonly lease: bigint;
  readonly died: number;
  /** Address of the u32 that says what the linker is doing; undefined where it does not tell. */
  readonly state: bigint | undefined;
}

/** For the entry of the function that the dynamic linker calls when libraries have come or gone. */
export function loadGateCode(place: LoadGatePlace): IrFunction {
  const fn = Builder.function('loadGate', 0, (b) => {
    if (place.state !== undefined) leaveUnlessLoaded(b, b.load(4, b.const(place.state)), b.const(place.gateState));
    const [asked, answered] = [b.const(place.requestsCell), b.const(place.answersCell)];
    b.when(isClosed(b, place), () => b.return(0));
    const ticket = b.add(b.atomic('add', 4, asked, 0, 1), 1);
    b.syscall(Syscall.futex, [asked, FUTEX_WAKE, 1, 0, 0, 0]);
    const time = b.stack(Time.size);
    b.store(8, time, Time.seconds, 0);
    b.store(8, time, Time.nanoseconds, WAIT_NS);
    b.loop([b.const(WAITS)], 0, (loop, [left]) => {
      const answer = b.load(4, answered);
      // Both go round.
      b.when(b.compare('sge', b.sub(answer, ticket), 0, 32), () => loop.leave());
      b.when(isClosed(b, place), () => loop.leave());
      b.when(b.compare('eq', left!, 0), () => {
        b.store(4, b.const(place.gateOpen), 0, 0);
        loop.leave();
      });
      b.syscall(Syscall.futex, [answered, FUTEX_WAIT, answer, time, 0, 0]);
      loop.next(b.sub(left!, 1));
    });
    b.return(0);
  });
  optimize(fn);
  return fn;
}

/** The linker says before what it is about to do, and behind that it is done. */
function leaveUnlessLoaded(b: Builder, state: Value, before: Value): void {
  const last = b.load(4, before);
  b.store(4, before, 0, state);
  b.when(b.compare('ne', state, RDebugState.CONSISTENT), () => b.return(0));
  b.when(b.compare('eq', last, RDebugState.DELETE), () => b.return(0));
}

function isClosed(b: Builder, { gateOpen, lease, died }: Pick<LoadGatePlace, 'gateOpen' | 'lease' | 'died'>): Value {
  const isShut = b.compare('eq', b.load(4, b.const(gateOpen)), 0);
  return b.or(isShut, b.compare('uge', b.load(4, b.const(lease)), died));
}
