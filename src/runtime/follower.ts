/**
 * Following the children of targets. A fork needs nothing: the child has the jumps, and shares the memory. What replaces its
 * program waits until we trace it, for that moment, and is attached to anew before its first instruction.
 */
import { BpfError } from '../errors.ts';
import { ExecWatch, parkAtStart } from '../process/exec-watch.ts';
import { unpark } from '../process/parked.ts';
import { openProcess, type TargetProcess } from '../process/target-process.ts';
import { isSysError, SysError } from '../sys/errors.ts';
import { readStatus } from '../sys/proc.ts';
import { memoriesOf, processesThatHave } from './memory-files.ts';
import type { Session } from './session.ts';

/** How often to look which processes there are, in milliseconds; and how often where that is waited for. */
const LOOK_INTERVAL = 500;
const SHORT_INTERVAL = 50;

/** What follows, and how. */
export interface Followed<Report> {
  /** Attaches to a new program what can be attached there. @throws {BpfError} */
  attach(target: TargetProcess): { readonly session: Session; readonly report: Report };
  /** Takes what is left of a target that has ended, and of which nobody has a copy. */
  leave(target: TargetProcess): void;
}

/** Told what was found. */
export interface FollowEvents<Report> {
  /** A target has replaced its program, or a child of one has; it has not begun yet. */
  attached(target: TargetProcess, report: Report): void;
  /** A process was forked from one that has programs, and has them too. */
  forked(pid: number, from: TargetProcess): void;
  /** One of them is gone, or has another program by now: a target, or a child of one. */
  ended(pid: number, target: TargetProcess | undefined): void;
  /** A process could not be followed. */
  lost(pid: number, reason: BpfError): void;
}

export class Follower<Report = unknown> implements Disposable {
  readonly #followed: Followed<Report>;
  readonly #events: FollowEvents<Report>;
  readonly #watch = new ExecWatch();
  /** Targets whose memory anybody has, and what they are to us. */
  readonly #sessions = new Map<TargetProcess, Session>();
  /** Children that were forked, and from whom. */
  readonly #children = new Map<number, TargetProcess>();
  #lookedAt = 0;

  /** @internal Use `BpfObject.follow`. */
  constructor(followed: Followed<Report>, events: FollowEvents<Report>) {
    this.#followed = followed;
    this.#events = events;
  }

  /** Follows the children of a target that has programs. @throws {BpfError} if its calls cannot be probed */
  add(target: TargetProcess, session: Session): void {
    this.#sessions.set(target, session);
    session.openExecGate();
  }

  /** Threads that have replaced their program and were not followed: nobody answered in time. */
  get missed(): bigint {
    return [...this.#sessions.values()].reduce((sum, { execGate }) => sum + (execGate?.missed ?? 0n), 0n);
  }

  /** True while any process is followed. */
  hasProcesses(): boolean {
    if (performance.now() - this.#lookedAt > SHORT_INTERVAL) this.#look();
    return this.#sessions.size > 0 || this.#watch.isBusy;
  }

  /** Does what is to be done; to be called every millisecond or so: programs wait for it. */
  poll(): void {
    for (const [target, { execGate }] of this.#sessions) execGate?.answer((tid) => this.#meet(tid, target));
    for (const pid of this.#watch.take()) this.#enter(pid);
    if (performance.now() - this.#lookedAt > LOOK_INTERVAL) this.#look();
  }

  /** Lets everything go on, and follows nothing any more. */
  [Symbol.dispose](): void {
    for (const { execGate } of this.#sessions.values()) execGate?.close();
    this.#watch[Symbol.dispose]();
  }

  /** A thread is about to replace its program, or a target says so. */
  #meet(tid: number, target: TargetProcess): void {
    try {
      const { tgid } = readStatus(tid);
      if (memoriesOf(tgid).has(this.#sessions.get(target)!.memoryName)) this.#watch.add(tid);
    } catch (error) {
      if (isSysError(error, 'SYS_ENOENT', 'SYS_ESRCH')) return;
      if (!(error instanceof BpfError)) throw error;
      this.#events.lost(tid, error);
    }
  }

  /** A new program stands at its first instruction. */
  #enter(pid: number): void {
    let target: TargetProcess | undefined;
    try {
      parkAtStart(pid);
    } catch (error) {
      this.#lose(pid, error);
      return;
    }
    try {
      target = openProcess(pid);
      const { session, report } = this.#followed.attach(target);
      this.#forget(pid);
      this.#sessions.set(target, session);
      this.#events.attached(target, report);
      session.openExecGate();
    } catch (error) {
      if (target !== undefined && !this.#sessions.has(target)) target[Symbol.dispose]();
      this.#lose(pid, error);
    } finally {
      unpark(pid);
    }
  }

  #lose(pid: number, error: unknown): void {
    if (!(error instanceof BpfError || error instanceof SysError)) throw error;
    this.#events.lost(pid, error);
  }

  #forget(pid: number): void {
    if (this.#children.delete(pid)) this.#events.ended(pid, undefined);
  }

  /** Who has our memory: children that are new, and targets that have ended and whose memory nobody has any more. */
  #look(): void {
    this.#lookedAt = performance.now();
    const targets = new Map([...this.#sessions].map(([target, session]) => [session.memoryName, target]));
    // Before it is looked who has it: one that ends meanwhile is no child of its own.
    const own = new Set([...this.#sessions.keys()].filter((target) => !target.isGone()).map(({ pid }) => pid));
    const found = processesThatHave(new Set(targets.keys()));
    const used = new Set([...found.values()]);
    for (const [pid, name] of found) {
      if (own.has(pid) || this.#children.has(pid)) continue;
      const from = targets.get(name)!;
      this.#children.set(pid, from);
      this.#events.forked(pid, from);
    }
    for (const pid of this.#children.keys()) if (!found.has(pid)) this.#forget(pid);
    for (const [target, session] of this.#sessions) {
      session.execGate?.sweep((tid) => memoriesOf(tid).size > 0);
      if (used.has(session.memoryName) || !target.isGone()) continue;
      this.#sessions.delete(target);
      this.#events.ended(target.pid, target);
      this.#followed.leave(target);
      target[Symbol.dispose]();
    }
  }
}
