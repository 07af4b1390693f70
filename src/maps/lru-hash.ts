/**
 * BPF_MAP_TYPE_LRU_HASH: a hash map that is never full: an update that finds no room takes out an entry that was not
 * looked at for long. As in Linux kernel/bpf/bpf_lru_list.c lookups by programs and updates set a mark, lookups by the host do
 * not, and who has a mark is spared once. The order differs: one hand goes round over all elements (Corbato's clock).
 *
 * The marks are hints, written without care. An entry is taken out only where a walk finds it in its chain, as a
 * deletion does; so nothing else about the hash map changes. With another update just under way an entry may go early.
 */
import { hash } from './hash.ts';
import { LRU_HASH } from './hash-layout.ts';
import type { MapType } from './map-type.ts';
import { badSpec, MapFlag } from './spec-check.ts';

export const lruHash: MapType = {
  ...hash,
  id: LRU_HASH,
  name: 'lru_hash',

  check(spec) {
    if ((spec.flags & MapFlag.NO_PREALLOC) !== 0) {
      throw badSpec(spec, 'map_flags has BPF_F_NO_PREALLOC, an lru_hash is always preallocated');
    }
    hash.check({ ...spec, flags: spec.flags & ~MapFlag.NO_COMMON_LRU });
  },
};
