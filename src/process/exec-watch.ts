/**
 * Threads that are about to replace their program: traced for that moment only, and not stopped until they have. Then the new
 * program is let run to where it is entered, and kept there. Source: ptrace(2).
 */
import { isSysError } from '../sys/errors.ts';
import { readStatus } from '../sys/proc.ts';
import { detach, interrupt, resume, seize, TraceOption } from '../sys/ptrace.ts';
import { takeEvent, type WaitEvent } from '../sys/wait.ts';
import { readAttachFacts } from './attach-facts.ts';
import { ProcessError } from './errors.ts';
import { releaseLate } from './late-release.ts';
import { park } from './parked.ts';
import { runToStart } from './run-to-start.ts';

/** How long a thread is traced that does not replace its program after all, in milliseconds: it tries other paths. */
const PATIENCE_MS = 500;

interface Watched {
  /** Where the new program's stop is reported, whichever thread asked for it. */
  readonly pid: number;
  readonly since: number;
}

export class ExecWatch implements Disposable {
  /** By thread. */
  readonly #watched = new Map<number, Watched>();

  /** True while threads are traced. */
  get isBusy(): boolean {
    return this.#watched.size > 0;
  }

  /**
   * Traces a thread from now on, without stopping it.
   *
   * @throws {ProcessError} PROCESS_TRACED; a thread that is gone is passed over
   */
  add(tid: number): void {
    if (this.#watched.has(tid)) return;
    try {
      const pid = readStatus(tid).tgid;
      seize(tid, TraceOption.EXEC);
      this.#watched.set(tid, { pid, since: performance.now() });
    } catch (error) {
      if (isSysError(error, 'SYS_ESRCH', 'SYS_ENOENT')) return;
      if (!isSysError(error, 'SYS_EPERM')) throw error;
      throw new ProcessError('PROCESS_TRACED', `cannot follow thread ${tid}: it is traced by another`, {
        cause: error,
      });
    }
  }

  /** Processes that have replaced their program since the last call: each stands at its first instruction, traced. */
  take(): readonly number[] {
    const replaced: number[] = [];
    for (const [tid, watched] of this.#watched) {
      const event = eventOf(tid, watched.pid);
      if (event === undefined) {
        if (performance.now() - watched.since > PATIENCE_MS) this.#release(tid);
        continue;
      }
      if (event.kind === 'signal') {
        ignoreGone(() => resume(tid, event.signal));
        continue;
      }
      this.#watched.delete(tid);
      if (event.kind === 'exec') replaced.push(watched.pid);
      else if (event.kind !== 'ended') ignoreGone(() => detach(tid, 0));
    }
    return replaced;
  }

  /** Lets all go. */
  [Symbol.dispose](): void {
    for (const tid of this.#watched.keys()) this.#release(tid);
  }

  #release(tid: number): void {
    this.#watched.delete(tid);
    ignoreGone(() => {
      interrupt(tid);
      releaseLate(tid);
    });
  }
}

/**
 * Lets a process that has replaced its program run to where that is entered, and keeps it there; `unpark` lets it go.
 *
 * @throws {ProcessError} PROCESS_EXITED, PROCESS_WRONG_ARCH; it is not traced then
 */
export function parkAtStart(pid: number): void {
  try {
    if (readAttachFacts(pid).architecture === 'x86-64' && !runToStart(pid)) {
      throw new ProcessError('PROCESS_EXITED', `cannot follow process ${pid}: it ended before it began`);
    }
  } catch (error) {
    ignoreGone(() => detach(pid, 0));
    throw error;
  }
  park(pid);
}

/** What was reported of a thread: of one that is not the first under its own id, or as the process that it is alone in now. */
function eventOf(tid: number, pid: number): WaitEvent | undefined {
  for (const id of new Set([tid, pid])) {
    try {
      return takeEvent(id);
    } catch (error) {
      if (!isSysError(error, 'SYS_ECHILD')) throw error;
    }
  }
  return { kind: 'ended' };
}

function ignoreGone(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!isSysError(error, 'SYS_ESRCH')) throw error;
  }
}
