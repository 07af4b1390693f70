/** Whether a thread that a target named has ended: who began a record and did not finish it never will then. */
import { BpfError } from '../errors.ts';
import { readStatus, readThreadIds } from '../sys/proc.ts';
import type { TargetProcess } from './target-process.ts';

const ENDED = ['Z', 'X'];

/**
 * Looks for a thread by the id that it has in the target's pid namespace. True only if it is not there any more.
 *
 * @param shared whether others than the target, children of it, may have named the thread
 */
export function hasThreadEnded({ pid, facts }: TargetProcess, tid: number, shared: boolean): boolean {
  if (tid === 0) return false;
  if (facts.namespacePid === pid) return stateOf(tid) === undefined;
  const threads = attempt(() => readThreadIds(pid)) ?? [];
  const alive = threads.some((thread) => attempt(() => readStatus(thread))?.namespacePids.at(-1) === tid);
  // Children in a namespace that is not ours cannot be found by its numbers.
  return !alive && !shared;
}

function stateOf(tid: number): string | undefined {
  const state = attempt(() => readStatus(tid))?.state;
  return state === undefined || ENDED.includes(state) ? undefined : state;
}

function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
