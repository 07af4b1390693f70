import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { describeInterruption } from '../../tests/contract/map-interruption.contract.ts';
import { hashModel } from '../../tests/contract/map-models.ts';
import { FILLING_STORIES } from '../../tests/contract/map-stories.ts';
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
  stories: FILLING_STORIES,

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
