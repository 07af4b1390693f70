/** Follows the children of a target in the test itself. */
import type { BpfObject } from '../../src/index.ts';
import { waitUntil } from './targets.ts';

/** Programs that were entered, and what could not be. */
export interface FollowedPrograms {
  readonly entered: number[];
  readonly lost: string[];
}

/** Follows what an object is attached to until `isDone`. */
export function followUntil(
  object: BpfObject,
  places: ReadonlyMap<string, string>,
  begin: () => void,
  isDone: (seen: FollowedPrograms) => boolean,
): FollowedPrograms {
  const seen: FollowedPrograms = { entered: [], lost: [] };
  using follower = object.follow(
    {
      attached: ({ pid }) => seen.entered.push(pid),
      forked: () => {},
      ended: () => {},
      lost: (_pid, { message }) => seen.lost.push(message),
    },
    places,
  );
  begin();
  waitUntil(
    'the followed programs are done',
    () => {
      follower.poll();
      return isDone(seen);
    },
    60_000,
  );
  return seen;
}
