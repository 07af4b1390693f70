/**
 * Libraries that come while an object is attached: threads of its targets that have loaded one wait, as long as this lives, until
 * its links have been attached there. What nobody can wait for is found by looking from time to time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadGate } from '../attach/loads.ts';
import type { BpfLink } from './bpf-link.ts';
import type { Session } from './session.ts';

/** How often to look where threads wait for us, and where they do not; in milliseconds. */
const LOOK_INTERVAL = { waited: 1000, unwaited: 50 } as const;
/** Each takes a thread of ours that waits; from more processes than this the news are looked for, so often in milliseconds. */
const MOST_WAITS = 2;
const SHORT_INTERVAL = 2;
/** How long such a thread waits at most: it outlives its session by so much. */
const LONGEST_WAIT = 50;

/** When a session was looked at last, and how many threads had asked then. */
interface Look {
  requests: number;
  time: number;
  /** The wait under way: it goes on when another ends first. */
  wait: Promise<void> | undefined;
}

/** Dispose of it to have nobody wait any more. */
export class Loads implements Disposable {
  readonly #sessions: () => readonly Session[];
  readonly #linkOf: (id: number) => BpfLink | undefined;
  readonly #looks = new Map<Session, Look>();

  /** @internal Use `BpfObject.awaitLoads`. */
  constructor(sessions: () => readonly Session[], linkOf: (id: number) => BpfLink | undefined) {
    this.#sessions = sessions;
    this.#linkOf = linkOf;
    this.#open();
  }

  /** Resolves when a thread has loaded a library, after a time, or when `signal` aborts; then `update` is due. */
  async next(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const done = new AbortController();
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true, signal: done.signal });
    });
    const gates = this.#open().filter(({ gate }) => gate.isInPlace);
    const isWaiting = gates.length <= MOST_WAITS;
    const pause = isWaiting ? milliseconds : SHORT_INTERVAL;
    await Promise.race([
      ...(isWaiting ? gates.map(({ gate, look }) => waitOf(gate, look)) : []),
      sleep(pause, undefined, { signal: done.signal }).catch(() => {}),
      aborted,
    ]);
    done.abort();
  }

  /**
   * Attaches what waited for a library that is there now, and gives up what was unloaded; then those who wait go on.
   *
   * @returns the links that have come or gone, or could not come: they say why
   */
  update(): readonly BpfLink[] {
    return this.#open().flatMap(({ session, gate, look }) => {
      const { requests, isInPlace } = gate;
      const interval = LOOK_INTERVAL[isInPlace ? 'waited' : 'unwaited'];
      const time = performance.now();
      if (requests === look.requests && time - look.time < interval) return [];
      Object.assign(look, { requests, time });
      return session.update().flatMap(({ id }) => this.#linkOf(id) ?? []);
    });
  }

  [Symbol.dispose](): void {
    for (const { gate } of this.#open()) gate.close();
  }

  /** What there is to be followed; sessions that are new have their threads wait from now on. */
  #open() {
    return this.#sessions().flatMap((session) => {
      const { gate } = session.context;
      if (gate === undefined) return [];
      const known = this.#looks.get(session);
      const look = known ?? { requests: 0, time: 0, wait: undefined };
      if (known === undefined) {
        this.#looks.set(session, look);
        gate.open();
      }
      return [{ session, gate, look }];
    });
  }
}

function waitOf(gate: LoadGate, look: Look): Promise<void> {
  look.wait ??= gate.next(look.requests, LONGEST_WAIT).finally(() => {
    look.wait = undefined;
  });
  return look.wait;
}
