/**
 * BPF_MAP_TYPE_BLOOM_FILTER: a set of values that is asked whether it may hold one; what was added is always found. Results as in Linux
 * kernel/bpf/bloom_filter.c, which also says how many bits there are; which of them a value sets is our own.
 *
 *     0    | seed u64 | pad to 64 |
 *     64   | bits, a power of two of them, in words of 64 |
 */
import { alignUp } from '../bytes/align.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { GOLDEN, randomOdd } from './hash-layout.ts';
import { Errno, type HostMap, type MapEmitContext, type MapMemory, type MapSpec, type MapType } from './map-type.ts';
import { requireValue, wordsOf } from './memory.ts';
import { badSpec, checkNumbers, checkSize, MapFlag } from './spec-check.ts';
import { foldWords, loadWord } from './words.ts';

/** `enum bpf_map_type`. */
export const BLOOM_FILTER = 30;

const Header = { seed: 0, size: 64 } as const;

/** Bits that each value sets, unless `map_extra` says it. */
const DEFAULT_HASHES = 5;
/** The bits of `map_extra` that say it. */
const HASHES_MASK = 0xfn;
/** The kernel's KMALLOC_MAX_SIZE. */
const MAX_VALUE = 4 * 1024 * 1024;

export const bloomFilter: MapType = {
  id: BLOOM_FILTER,
  name: 'bloom_filter',

  check({ extra = 0n, ...spec }) {
    if (spec.keySize !== 0) throw badSpec(spec, `key_size is ${spec.keySize}, a bloom_filter wants 0`);
    checkNumbers({ ...spec, keySize: 1 }, MapFlag.ZERO_SEED);
    if ((extra & ~HASHES_MASK) !== 0n) {
      throw badSpec(spec, `map_extra is ${extra}, a bloom_filter wants a number of hashes up to ${HASHES_MASK}`);
    }
    if (spec.valueSize > MAX_VALUE) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted ${MAX_VALUE} at most`);
    checkSize(spec, bloomFilter.size({ ...spec, extra }));
  },

  size: (spec) => Header.size + alignUp(bitCount(spec) / 8, 64),

  init({ words }, { flags }) {
    words[Header.seed / 8] = BigInt.asIntN(64, (flags & MapFlag.ZERO_SEED) === 0 ? randomOdd() : GOLDEN);
  },

  host: bloomHost,
  recover: () => undefined,
  emitLookup: (b) => b.const(0),
  emitUpdate: (b) => b.const(-Errno.EINVAL),
  emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
  keyless: {
    emitPush(b, spec, context, value, flags) {
      const add = context.shared(`${spec.name}.add`, 2, (b, [value, flags]) => {
        b.when(b.compare('ne', flags!, 0), () => b.return(-Errno.EINVAL), 'cold');
        emitEachBit(b, spec, context, value!, ({ word, bit }) => {
          // What is set already is not written to: others read it.
          const isSet = b.and(b.load(8, word), bit);
          b.when(b.compare('eq', isSet, 0), () => void b.atomic('or', 8, word, 0, bit));
        });
        b.return(0);
      });
      return b.call(add, [value, flags]);
    },
    emitPop: (b) => b.const(-Errno.EOPNOTSUPP),
    emitPeek(b, spec, context, value) {
      const has = context.shared(`${spec.name}.has`, 1, (b, [value]) => {
        emitEachBit(b, spec, context, value!, ({ word, bit }) => {
          b.when(b.compare('eq', b.and(b.load(8, word), bit), 0), () => b.return(-Errno.ENOENT));
        });
        b.return(0);
      });
      return b.call(has, [value]);
    },
  },
};

function hashCount({ extra = 0n }: MapSpec): number {
  return Number(extra & HASHES_MASK) || DEFAULT_HASHES;
}

/** 7 bits for each value and 5 hashes, rounded up to a power of two; at most 2^32. */
function bitCount(spec: MapSpec): number {
  const wanted = Math.floor((spec.maxEntries * hashCount(spec)) / 5) * 7;
  return wanted > 2 ** 31 ? 2 ** 32 : 2 ** Math.ceil(Math.log2(Math.max(wanted, 64)));
}

/** For the host values are added and asked for; there is nothing to be listed. */
function bloomHost({ words }: MapMemory, spec: MapSpec): HostMap {
  const seed = BigInt.asUintN(64, words[Header.seed / 8]!);
  const bitsOf = function* (value: Uint8Array): Iterable<readonly [word: number, bit: bigint]> {
    requireValue(spec, value);
    const hash = hashOf(seed, wordsOf(value));
    const step = (hash >> 32n) | 1n;
    const mask = BigInt(bitCount(spec) - 1);
    for (let count = 0n; count < hashCount(spec); count++) {
      const index = (hash + count * step) & mask;
      yield [Header.size / 8 + Number(index >> 6n), BigInt.asIntN(64, 1n << (index & 63n))];
    }
  };
  return {
    lookup: () => undefined,
    update(_, value, flags) {
      requireValue(spec, value);
      if (flags !== 0n) return -Errno.EINVAL;
      for (const [word, bit] of bitsOf(value)) Atomics.or(words, word, bit);
      return 0;
    },
    delete: () => -Errno.EOPNOTSUPP,
    has: (value) => [...bitsOf(value)].every(([word, bit]) => (Atomics.load(words, word) & bit) !== 0n),
    entries: () => [],
  };
}

/** The same arithmetic as emitHash. */
function hashOf(seed: bigint, value: Iterable<bigint>): bigint {
  let hash = 0n;
  for (const word of value) {
    hash = BigInt.asUintN(64, BigInt.asUintN(64, hash ^ word) * GOLDEN);
    hash = BigInt.asUintN(64, (hash ^ (hash >> 32n)) * seed);
  }
  return hash ^ (hash >> 32n);
}

function emitHash(b: Builder, { valueSize }: MapSpec, { address }: MapEmitContext, value: Value): Value {
  const seed = b.load(8, b.const(address + BigInt(Header.seed)));
  const hash = foldWords(b, valueSize, b.const(0), (carry, { at, offset, size }) => {
    const spread = b.mul(b.xor(carry, loadWord(b, at(value), offset, size)), GOLDEN);
    return b.mul(b.xor(spread, b.shr(spread, 32)), seed);
  });
  return b.xor(hash, b.shr(hash, 32));
}

/** Writes a loop over the bits of a value: the address of the word that each is in, and the bit. */
function emitEachBit(
  b: Builder,
  spec: MapSpec,
  context: MapEmitContext,
  value: Value,
  visit: (place: { readonly word: Value; readonly bit: Value }) => void,
): void {
  const hash = emitHash(b, spec, context, value);
  const step = b.or(b.shr(hash, 32), 1);
  b.loop([hash, b.const(hashCount(spec))], 0, (loop, [at, left]) => {
    const index = b.and(at!, BigInt(bitCount(spec) - 1));
    const word = b.add(b.shl(b.shr(index, 6), 3), context.address + BigInt(Header.size));
    visit({ word, bit: b.shl(b.const(1), b.and(index, 63)) });
    const rest = b.sub(left!, 1);
    b.when(b.compare('eq', rest, 0), () => loop.leave());
    loop.next(b.add(at!, step), rest);
  });
}
