/** Follows the children of what is attached, for a command that tells of them. */
import type { AttachReport, BpfError, BpfLink, BpfObject, TargetProcess } from '../index.ts';
import type { LoadReport, Outcome } from './load-report.ts';
import type { Attached } from './watch.ts';

/** A process that has programs. */
interface Process {
  /** undefined if it was forked from one that has. */
  readonly target: TargetProcess | undefined;
  readonly links: number;
}

/** Follows the children of targets, and tells of them. */
export class Following implements Disposable {
  readonly #report: LoadReport;
  readonly #follower: ReturnType<BpfObject['follow']>;
  readonly #links: BpfLink[] = [];
  readonly #linksOf = new Map<TargetProcess, readonly BpfLink[]>();
  /** By number: those that are there now. */
  readonly processes = new Map<number, Process>();

  /** @throws {AttachError | RuntimeError} as `BpfObject.follow` */
  constructor(
    object: BpfObject,
    attached: readonly Attached[],
    report: LoadReport,
    places: ReadonlyMap<string, string> | undefined,
  ) {
    this.#report = report;
    for (const { target, links } of attached) {
      this.#linksOf.set(target, links);
      this.processes.set(target.pid, { target, links: links.length });
    }
    this.#follower = object.follow(
      {
        attached: (target, { links, pauseUs }: AttachReport) => {
          this.#links.push(...links);
          this.#linksOf.set(target, links);
          this.#begin(target.pid, target, links, pauseUs);
        },
        forked: (pid, from) => this.#begin(pid, undefined, this.#linksOf.get(from) ?? [], 0),
        ended: (pid, target) => this.#end(pid, target, 'ended'),
        lost: (pid, { message }: BpfError) => report.note(`process ${pid} is not followed: ${message}`),
      },
      places,
    );
  }

  /** Of processes that came later than we did. */
  get links(): readonly BpfLink[] {
    return this.#links;
  }

  /** Does what is to be done. */
  poll(): void {
    this.#follower.poll();
  }

  /** True while any process is followed. */
  hasProcesses(): boolean {
    return this.#follower.hasProcesses();
  }

  /** Follows nothing any more. */
  [Symbol.dispose](): void {
    const { missed } = this.#follower;
    if (missed > 0n) this.#report.note(`${missed} programs were begun that nobody followed: there was no time to`);
    this.#follower[Symbol.dispose]();
  }

  #begin(pid: number, target: TargetProcess | undefined, links: readonly BpfLink[], pauseUs: number): void {
    if (this.processes.has(pid)) this.#end(pid, this.processes.get(pid)!.target, 'replaced');
    this.processes.set(pid, { target, links: links.length });
    this.#report.attached(pid, links, pauseUs, 'child');
  }

  /** @param target what it was: another program may run there by now */
  #end(pid: number, target: TargetProcess | undefined, outcome: Outcome): void {
    const process = this.processes.get(pid);
    if (process === undefined || process.target !== target) return;
    this.processes.delete(pid);
    this.#report.detached({ pid, links: process.links, outcome });
  }
}
