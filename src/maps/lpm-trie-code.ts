/**
 * The emitted side of lpm_trie: what threads of the target run. The key of the table is kept on the stack, as long as the data and 8 bytes;
 * from one length to the next it only loses bits.
 */
import type { Builder, Loop } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { emitHashDelete, emitHashLookup, emitHashUpdate } from './hash-code.ts';
import { floorOffset, type LpmTrieLayout, lpmTrieLayout, PREFIX_SIZE } from './lpm-trie-layout.ts';
import { Errno, type MapEmitContext, type MapSpec, UpdateFlag } from './map-type.ts';
import { loadWord } from './words.ts';

/** Words of data that are worth an instruction sequence each; more become a loop. */
const UNROLLED = 4;

/** Emits bpf_map_lookup_elem: the value of the longest prefix that the key begins with. */
export function emitTrieLookup(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value {
  const layout = lpmTrieLayout(spec);
  const lookup = context.shared(`${spec.name}.find`, 1, (b, [key]) => {
    const length = b.load(4, key!);
    b.when(b.compare('ugt', length, layout.longest), () => b.return(0), 'cold');
    const entry = copyData(b, layout, key!);
    const [value] = b.loop([length], 1, (loop, [most]) => {
      const floor = b.load(4, floorAddress(b, context, most!));
      b.when(b.compare('eq', floor, 0), () => loop.leave(b.const(0)));
      // Whatever is written there, lengths become shorter.
      b.when(b.compare('ugt', floor, b.add(most!, 1)), () => loop.leave(b.const(0)), 'cold');
      const tried = b.sub(floor, 1);
      cutTo(b, layout, entry, tried);
      const found = emitHashLookup(b, layout.entries, tableContext(context, layout), entry);
      b.when(b.compare('ne', found, 0), () => loop.leave(found));
      b.when(b.compare('eq', tried, 0), () => loop.leave(b.const(0)));
      loop.next(b.sub(tried, 1));
    });
    b.return(value!);
  });
  return b.call(lookup, [key]);
}

/** Emits bpf_map_update_elem. */
export function emitTrieUpdate(
  b: Builder,
  spec: MapSpec,
  context: MapEmitContext,
  key: Value,
  value: Value,
  flags: Value,
): Value {
  const layout = lpmTrieLayout(spec);
  const update = context.shared(`${spec.name}.set`, 3, (b, [key, value, flags]) => {
    const length = b.load(4, key!);
    b.when(b.compare('ugt', flags!, UpdateFlag.EXIST), () => b.return(-Errno.EINVAL), 'cold');
    b.when(b.compare('ugt', length, layout.longest), () => b.return(-Errno.EINVAL), 'cold');
    b.when(b.compare('ne', flags!, UpdateFlag.EXIST), () => noteLength(b, layout, context, length));
    const entry = copyData(b, layout, key!);
    cutTo(b, layout, entry, length);
    const result = emitHashUpdate(b, layout.entries, tableContext(context, layout), entry, value!, flags!);
    b.return(b.select(b.compare('eq', result, errno(Errno.E2BIG)), errno(Errno.ENOSPC), result));
  });
  return b.call(update, [key, value, flags]);
}

/** Emits bpf_map_delete_elem. */
export function emitTrieDelete(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value {
  const layout = lpmTrieLayout(spec);
  const remove = context.shared(`${spec.name}.drop`, 1, (b, [key]) => {
    const length = b.load(4, key!);
    b.when(b.compare('ugt', length, layout.longest), () => b.return(-Errno.EINVAL), 'cold');
    const entry = copyData(b, layout, key!);
    cutTo(b, layout, entry, length);
    b.return(emitHashDelete(b, layout.entries, tableContext(context, layout), entry));
  });
  return b.call(remove, [key]);
}

/** The same as in lpm-trie-host.ts. */
function noteLength(b: Builder, { longest }: LpmTrieLayout, context: MapEmitContext, length: Value): void {
  const wanted = b.add(length, 1);
  const isDone = b.compare('eq', b.load(4, floorAddress(b, context, length)), wanted);
  b.when(
    b.xor(isDone, 1),
    () => {
      b.loop([b.const(longest)], 0, (each, [at]) => {
        const address = floorAddress(b, context, at!);
        b.loop([], 0, (retry: Loop) => {
          const old = b.load(4, address);
          b.when(b.compare('uge', old, wanted), () => retry.leave());
          b.when(b.compare('eq', b.cmpxchg(4, address, 0, old, wanted), old), () => retry.leave());
          retry.next();
        });
        b.when(b.compare('eq', at!, length), () => each.leave());
        each.next(b.sub(at!, 1));
      });
    },
    'cold',
  );
}

/** The address of a key of the table that holds all data of a program's. */
function copyData(b: Builder, { dataSize, entries }: LpmTrieLayout, key: Value): Value {
  const entry = b.stack(entries.keySize);
  const words = Math.floor(dataSize / 8);
  if (words > UNROLLED) {
    eachWord(b, words, (at) => b.store(8, b.add(entry, at), 0, b.load(8, b.add(key, at), PREFIX_SIZE)));
  } else {
    for (let word = 0; word < words; word++) b.store(8, entry, 8 * word, b.load(8, key, PREFIX_SIZE + 8 * word));
  }
  const rest = dataSize % 8;
  const last = rest === 0 ? b.const(0) : loadWord(b, key, PREFIX_SIZE + 8 * words, rest);
  b.store(8, entry, 8 * words, last);
  if (8 * (words + 1) < entries.keySize) b.store(8, entry, 8 * (words + 1), 0);
  return entry;
}

/** Leaves so many bits of the data, and says so; by whole words, so that what is read next has just been written as it is. */
function cutTo(b: Builder, { dataSize, prefix }: LpmTrieLayout, entry: Value, length: Value): void {
  const words = Math.ceil(dataSize / 8);
  const said = b.shl(length, 32);
  const cut = (at: Value, firstBit: Value | number, more: Value | number): void => {
    const within = b.sub(length, firstBit);
    // The first bits are the highest of the first byte.
    const some = b.unary('bswap64', b.shl(b.const(-1n), b.sub(b.const(64), within)));
    const mask = b.select(b.compare('sle', within, 0), 0, b.select(b.compare('sge', within, 64), -1n, some));
    b.store(8, at, 0, b.or(b.and(b.load(8, at), mask), more));
  };
  const sharesWord = prefix < 8 * words;
  const own = sharesWord ? words - 1 : words;
  if (own > UNROLLED) eachWord(b, own, (at) => cut(b.add(entry, at), b.shl(at, 3), 0));
  else for (let word = 0; word < own; word++) cut(b.add(entry, 8 * word), 64 * word, 0);
  if (sharesWord) cut(b.add(entry, 8 * own), 64 * own, said);
  else b.store(8, entry, 8 * own, said);
}

function eachWord(b: Builder, words: number, body: (at: Value) => void): void {
  b.loop([b.const(0)], 0, (loop, [at]) => {
    body(at!);
    const next = b.add(at!, 8);
    b.when(b.compare('eq', next, 8 * words), () => loop.leave());
    loop.next(next);
  });
}

function floorAddress(b: Builder, { address }: MapEmitContext, length: Value): Value {
  return b.add(b.mul(length, floorOffset(1)), address);
}

/** For the hash map, which begins behind the floors. */
function tableContext({ address, shared, slot }: MapEmitContext, { table }: LpmTrieLayout): MapEmitContext {
  return { address: address + BigInt(table), shared, slot };
}

function errno(number: number): bigint {
  return BigInt.asUintN(64, BigInt(-number));
}
