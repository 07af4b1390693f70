/** Stories that maps of several types have in common, in the words of map-operations.ts. */

type Story = readonly [title: string, steps: string];

/** Of maps with keys of any kind, which hold what was put there. */
const KEYED_STORIES: readonly Story[] = [
  ['begins empty', 'get 0: nothing, delete 0: ENOENT'],
  ['finds what was written', 'set 5=7, get 5: 7, set 5=8, get 5: 8, get 6: nothing'],
  ['forgets what was deleted', 'set 5=7, delete 5, get 5: nothing, delete 5: ENOENT'],
  ['gives EEXIST to NOEXIST on a key it has', 'set 5=7 NOEXIST, set 5=8 NOEXIST: EEXIST, get 5: 7'],
  [
    'gives ENOENT to EXIST on a key it has not',
    'set 5=7 EXIST: ENOENT, get 5: nothing, set 5=7, set 5=8 EXIST, get 5: 8',
  ],
  ['gives EINVAL to flags it does not know', 'set 1=1 3: EINVAL, set 1=1 LOCK: EINVAL, set 1=1 8: EINVAL'],
];

/** Of those among them that are full with two. */
export const FILLING_STORIES: readonly Story[] = [
  ...KEYED_STORIES,
  [
    'gives E2BIG to one key too many, until one is deleted',
    'set 1=1, set 2=2, set 3=3: E2BIG, set 1=4, set 2=5 EXIST, delete 1, set 3=3, get 3: 3, get 2: 5, get 1: nothing',
  ],
  ['gives ENOENT before E2BIG', 'set 1=1, set 2=2, set 3=3 EXIST: ENOENT'],
];

/** Of those among them that make room for two by taking the place of another. */
export const EVICTING_STORIES: readonly Story[] = [
  ...KEYED_STORIES,
  ['evicts who was not looked at', 'set 1=1, set 2=2, set 1=3, set 3=4, get 1: 3, get 2: nothing, get 3: 4'],
  ['evicts nobody for an update that is refused', 'set 1=1, set 2=2, set 3=3 EXIST: ENOENT, get 1: 1, get 2: 2'],
];

/** Of maps of three values, whose keys are indices. */
export const INDEXED_STORIES: readonly Story[] = [
  ['begins with zeros', 'get 0: 0, get 2: 0'],
  ['finds what was written', 'set 2=7, get 2: 7, get 1: 0'],
  ['has nothing past its end', 'get 3: nothing, get 4294967295: nothing'],
  ['gives E2BIG to an update past its end', 'set 3=1: E2BIG, set 4294967295=1: E2BIG'],
  ['gives E2BIG before EEXIST', 'set 3=1 NOEXIST: E2BIG'],
  ['gives EEXIST to NOEXIST', 'set 1=1 NOEXIST: EEXIST, get 1: 0'],
  ['takes EXIST', 'set 1=1 EXIST, get 1: 1'],
  ['gives EINVAL to a deletion', 'delete 0: EINVAL, delete 9: EINVAL'],
];
