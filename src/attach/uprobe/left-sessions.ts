/** What sessions that ended had to leave in a target, because a thread was in their code: taken out when it stands in the way. */
import { FoundJournal, findJournals } from '../../inject/found-journal.ts';
import { takeOff } from '../../inject/take-off.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { releaseReturns } from './return-stack.ts';

/** True if any code was put back by that. @throws {ProcessError | InjectError} as `takeOff` */
export function takeOffLeft(process: TargetProcess): boolean {
  using _lock = process.lock();
  const left = findJournals(process.mappings(), process.memory).filter((found) => found instanceof FoundJournal);
  return left
    .filter(({ isClosed }) => isClosed)
    .map((journal) => takeOff(process, journal, releaseReturns))
    .some(({ restored }) => restored > 0);
}
