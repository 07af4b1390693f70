/**
 * BPF_MAP_TYPE_LPM_TRIE: entries by prefixes of bits; a lookup finds the longest one that its key begins with. Results as in Linux
 * kernel/bpf/lpm_trie.c. There is no tree here but a hash map of all entries, asked for each length that is in use, the longest first: at
 * most 33 times for an address of IPv4. A lookup that runs while others change the map may miss an entry that comes meanwhile.
 */
import { alignUp } from '../bytes/align.ts';
import { hash } from './hash.ts';
import { emitTrieDelete, emitTrieLookup, emitTrieUpdate } from './lpm-trie-code.ts';
import { lpmTrieHost, recoverLpmTrie } from './lpm-trie-host.ts';
import { lpmTrieLayout, PREFIX_SIZE } from './lpm-trie-layout.ts';
import type { MapMemory, MapSpec, MapType } from './map-type.ts';
import { mapMemory } from './memory.ts';
import { badSpec, checkNumbers, checkSize, MapFlag } from './spec-check.ts';

/** LPM_DATA_SIZE_MAX */
const MAX_DATA = 256;
/** The kernel's KMALLOC_MAX_SIZE, less its own fields. */
const MAX_VALUE = 4 * 1024 * 1024 - MAX_DATA - 64;

export const lpmTrie: MapType = {
  id: 11,
  name: 'lpm_trie',

  check(spec) {
    checkNumbers(spec, MapFlag.NO_PREALLOC);
    if ((spec.flags & MapFlag.NO_PREALLOC) === 0) {
      throw badSpec(spec, 'map_flags lacks BPF_F_NO_PREALLOC, without which there is no lpm_trie');
    }
    if (spec.keySize <= PREFIX_SIZE || spec.keySize > PREFIX_SIZE + MAX_DATA) {
      const wanted = `${PREFIX_SIZE + 1} to ${PREFIX_SIZE + MAX_DATA}: a prefix length and what it is of`;
      throw badSpec(spec, `key_size is ${spec.keySize}, an lpm_trie wants ${wanted}`);
    }
    if (spec.valueSize > MAX_VALUE) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted ${MAX_VALUE} at most`);
    checkSize(spec, lpmTrie.size(spec));
  },

  size: (spec) => alignUp(lpmTrieLayout(spec).end, 64),
  init: (memory, spec) => hash.init(tableOf(memory, spec), lpmTrieLayout(spec).entries),
  host: (memory, spec) => lpmTrieHost(memory, tableOf(memory, spec), spec),
  recover(memory, spec) {
    hash.recover(tableOf(memory, spec), lpmTrieLayout(spec).entries);
    recoverLpmTrie(memory, tableOf(memory, spec), spec);
  },
  emitLookup: emitTrieLookup,
  emitUpdate: emitTrieUpdate,
  emitDelete: emitTrieDelete,
};

function tableOf({ bytes }: MapMemory, spec: MapSpec): MapMemory {
  const { table, end } = lpmTrieLayout(spec);
  return mapMemory(bytes.subarray(table, end));
}
