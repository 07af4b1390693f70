import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { describeInterruption } from '../../tests/contract/map-interruption.contract.ts';
import { hashModel } from '../../tests/contract/map-models.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { hash } from './hash.ts';

describeMapType({
  type: hash,

  model: hashModel,

  shapes: [
    [1, 1],
    [2, 8],
    [4, 4],
    [4, 8],
    [8, 8],
    [8, 3],
    [12, 8],
    [16, 16],
    [20, 8],
    [64, 12],
    [100, 100],
    [67, 70],
  ].flatMap(([keySize, valueSize]) =>
    [1, 5, 8].map((maxEntries) => ({ keySize: keySize!, valueSize: valueSize!, maxEntries })),
  ),

  story: { keySize: 4, valueSize: 8, maxEntries: 2 },
  stories: [
    ['begins empty', 'get 0: nothing, delete 0: ENOENT'],
    ['finds what was written', 'set 5=7, get 5: 7, set 5=8, get 5: 8, get 6: nothing'],
    ['forgets what was deleted', 'set 5=7, delete 5, get 5: nothing, delete 5: ENOENT'],
    ['gives EEXIST to NOEXIST on a key it has', 'set 5=7 NOEXIST, set 5=8 NOEXIST: EEXIST, get 5: 7'],
    ['gives ENOENT to EXIST on a key it has not', 'set 5=7 EXIST: ENOENT, get 5: nothing, set 5=7, set 5=8 EXIST'],
    ['gives EINVAL to flags it does not know', 'set 1=1 3: EINVAL, set 1=1 LOCK: EINVAL, set 1=1 8: EINVAL'],
    [
      'gives E2BIG to one key too many, until one is deleted',
      'set 1=1, set 2=2, set 3=3: E2BIG, set 1=4, set 2=5 EXIST, delete 1, set 3=3, get 3: 3, get 2: 5, get 1: nothing',
    ],
    ['gives ENOENT before E2BIG', 'set 1=1, set 2=2, set 3=3 EXIST: ENOENT'],
  ],

  refusals: [
    ['key size 0', { keySize: 0 }, 'MAP_BAD_SPEC'],
    ['value size 0', { valueSize: 0 }, 'MAP_BAD_SPEC'],
    ['no entries', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['value size 2^31', { valueSize: 2 ** 31 }, 'MAP_BAD_SPEC'],
    ['key size 2^63', { keySize: 2 ** 63 }, 'MAP_BAD_SPEC'],
    ['MMAPABLE', { flags: 0x400 }, 'MAP_BAD_SPEC'],
    ['2^32 - 1 entries', { maxEntries: 2 ** 32 - 1 }, 'MAP_TOO_LARGE'],
  ],
});

const small = { keySize: 8, valueSize: 8 };
const large = { keySize: 20, valueSize: 24 };
describeInterruption(
  hash,
  hashModel,
  [small, large].map((shape) => ({ ...shape, maxEntries: 5 })),
);
describeConcurrency(hash, [
  ['count', 64, { ...small, maxEntries: 64 }],
  ['count', 5, { ...small, maxEntries: 5 }],
  ['tickets', 64, { ...small, maxEntries: 64 }],
  ['tickets', 3, { ...small, maxEntries: 2 }],
  ['tickets', 64, { ...large, maxEntries: 40 }],
  ['tickets', 3, { ...large, maxEntries: 2 }],
  ['own', 256, { ...small, maxEntries: 300 }],
  ['own', 256, { ...large, maxEntries: 300 }],
  ['kill', 64, { ...small, maxEntries: 1500 }],
  ['kill', 64, { ...large, maxEntries: 1500 }],
]);
