import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { toHex } from '../bytes/hex.ts';
import { hash } from './hash.ts';
import { Errno, UpdateFlag } from './map-type.ts';

const { ANY, NOEXIST, EXIST, LOCK } = UpdateFlag;

describeMapType({
  type: hash,

  model({ maxEntries }) {
    const entries = new Map<string, readonly [Uint8Array, Uint8Array]>();
    return {
      lookup: (key) => entries.get(toHex(key))?.[1],
      update(key, value, flags) {
        const exists = entries.has(toHex(key));
        if (flags > 2n) return -Errno.EINVAL;
        if (exists && flags === 1n) return -Errno.EEXIST;
        if (!exists && flags === 2n) return -Errno.ENOENT;
        if (!exists && entries.size === maxEntries) return -Errno.E2BIG;
        entries.set(toHex(key), [key, value]);
        return 0;
      },
      delete: (key) => (entries.delete(toHex(key)) ? 0 : -Errno.ENOENT),
      entries: () => entries.values(),
    };
  },

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
    [
      'begins empty',
      [
        ['lookup', 0, undefined],
        ['delete', 0, -Errno.ENOENT],
      ],
    ],
    [
      'finds what was written',
      [
        ['update', 5, 7, ANY, 0],
        ['lookup', 5, 7],
        ['update', 5, 8, ANY, 0],
        ['lookup', 5, 8],
      ],
    ],
    [
      'forgets what was deleted',
      [
        ['update', 5, 7, ANY, 0],
        ['delete', 5, 0],
        ['lookup', 5, undefined],
        ['delete', 5, -Errno.ENOENT],
      ],
    ],
    [
      'gives EEXIST to NOEXIST on a key it has',
      [
        ['update', 5, 7, NOEXIST, 0],
        ['update', 5, 8, NOEXIST, -Errno.EEXIST],
        ['lookup', 5, 7],
      ],
    ],
    [
      'gives ENOENT to EXIST on a key it has not',
      [
        ['update', 5, 7, EXIST, -Errno.ENOENT],
        ['lookup', 5, undefined],
        ['update', 5, 7, ANY, 0],
        ['update', 5, 8, EXIST, 0],
      ],
    ],
    [
      'gives EINVAL to flags it does not know',
      [
        ['update', 1, 1, NOEXIST | EXIST, -Errno.EINVAL],
        ['update', 1, 1, LOCK, -Errno.EINVAL],
        ['update', 1, 1, 8, -Errno.EINVAL],
      ],
    ],
    [
      'gives E2BIG to one key too many, until one is deleted',
      [
        ['update', 1, 1, ANY, 0],
        ['update', 2, 2, ANY, 0],
        ['update', 3, 3, ANY, -Errno.E2BIG],
        ['update', 1, 4, ANY, 0],
        ['update', 2, 5, EXIST, 0],
        ['delete', 1, 0],
        ['update', 3, 3, ANY, 0],
        ['lookup', 3, 3],
        ['lookup', 1, undefined],
      ],
    ],
    [
      'gives ENOENT before E2BIG',
      [
        ['update', 1, 1, ANY, 0],
        ['update', 2, 2, ANY, 0],
        ['update', 3, 3, EXIST, -Errno.ENOENT],
      ],
    ],
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
