/**
 * Values of maps that belong to threads go when their thread has ended: who comes next by its id is to find none. Nobody tells us, so
 * threads are looked for, some at a time.
 */
import type { ThreadOwners } from '../maps/map-type.ts';
import type { RingHome } from './event-source.ts';

/** Between one look and the next, in milliseconds. */
const INTERVAL = 100;
/** Threads that are looked for at a time: some 20 microseconds each. */
const AT_ONCE = 128;

/** Forgets the values of threads that have ended, as long as the processes live: what these leave stays to be read. */
export class ThreadValues implements Disposable {
  readonly #maps: () => Iterable<ThreadOwners>;
  readonly #home: RingHome;
  readonly #timer: NodeJS.Timeout;
  /** How many owners were looked at since the first. */
  #place = 0;

  /** @param maps those that keep values by thread */
  constructor(maps: () => Iterable<ThreadOwners>, home: RingHome) {
    this.#maps = maps;
    this.#home = home;
    this.#timer = setInterval(() => this.forgetEnded(AT_ONCE), INTERVAL).unref();
  }

  /** @param count how many threads are looked for */
  forgetEnded(count = Number.POSITIVE_INFINITY): void {
    const owned = Array.from(this.#maps(), (owners) => [...owners.all()].map((owner) => ({ owners, owner }))).flat();
    if (this.#place >= owned.length) this.#place = 0;
    const these = owned.slice(this.#place, this.#place + count);
    this.#place += these.length;
    const ended = these.filter(({ owner }) => this.#home.hasEnded(owner.thread));
    // A process that ended since leaves its threads' values.
    if (this.#home.isOver()) return;
    for (const { owners, owner } of ended) owners.forget(owner);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
