/**
 * BPF_MAP_TYPE_HASH: chains of preallocated elements, without a lock anywhere. Results as in Linux
 * kernel/bpf/hashtab.c. The layout is drawn in hash-layout.ts.
 *
 * Threads of several processes, their signal handlers and the host work on the same bytes; any of them may stop at any
 * instruction, for ever. So every change is one compare-and-exchange, and who finds a change half done finishes it:
 *
 * - The list is Michael's (High Performance Dynamic Lock-Free Hash Tables, 2002), unsorted. A walk reads an element's
 *   `next` and key, then the word that led to it again: unchanged, the element was in the chain all the while; otherwise
 *   the walk begins anew. A walk that meets a dead element takes it out first.
 * - insert: at the head only, and only if the head is as it was before the walk that did not find the key. So no key
 *   comes in twice.
 * - delete: marks `next`, which freezes it, then takes the element out.
 * - update of a value of up to 8 bytes: exchanges (next, value) as one, so it fails if the element died or was reused.
 * - update of a larger value, and any update by the host: fills a spare element and marks the old one with a `next` that
 *   names it. That one exchange removes the old value and adds the new one; a reader sees one or the other, whole. The
 *   new one lies behind the old one, so a walk that has not met the old one yet cannot miss it.
 * - Elements are reused at once, and tags make every late exchange fail. As in the kernel, a pointer got from a lookup
 *   may after a deletion point at another key's value.
 *
 * Who is killed between taking an element and linking it loses that element: capacity, not correctness. `recover`
 * returns it. While a thread is between the two, others may see E2BIG one element early.
 */
import { alignUp } from '../bytes/align.ts';
import { emitHashDelete, emitHashEach, emitHashLookup, emitHashUpdate } from './hash-code.ts';
import { hashHost } from './hash-host.ts';
import { END, GOLDEN, Header, hashLayout, randomOdd } from './hash-layout.ts';
import { recoverHash } from './hash-recover.ts';
import type { MapType } from './map-type.ts';
import { badSpec, checkNumbers, checkSize, MapFlag } from './spec-check.ts';

/** What one element may take: the kernel's KMALLOC_MAX_SIZE. */
const MAX_ELEMENT = 4 * 1024 * 1024;

export const hash: MapType = {
  id: 1,
  name: 'hash',

  check(spec) {
    checkNumbers(spec, MapFlag.NO_PREALLOC | MapFlag.ZERO_SEED);
    const size = hashLayout(spec).elementSize;
    if (size > MAX_ELEMENT) throw badSpec(spec, `an entry takes ${size} bytes, wanted ${MAX_ELEMENT} at most`);
    checkSize(spec, hash.size(spec));
  },

  size: (spec) => alignUp(hashLayout(spec).end, 64),

  init({ words }, spec) {
    const { firstElement, firstSpare, elementSize, end } = hashLayout(spec);
    words[Header.seed / 8] = BigInt.asIntN(64, (spec.flags & MapFlag.ZERO_SEED) === 0 ? randomOdd() : GOLDEN);
    for (const [list, first, behind] of [
      [Header.free, firstElement, firstSpare],
      [Header.spare, firstSpare, end],
    ] as const) {
      words[list / 8] = BigInt(first);
      words[(behind - elementSize) / 8] = BigInt(END);
    }
  },

  host: hashHost,
  recover: recoverHash,
  emitLookup: emitHashLookup,
  emitUpdate: emitHashUpdate,
  emitDelete: emitHashDelete,
  each: { emitEach: emitHashEach },
};
