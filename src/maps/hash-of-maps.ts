/**
 * BPF_MAP_TYPE_HASH_OF_MAPS: a hash whose values are numbers of maps of the object, as in an array of maps. Results as in Linux
 * kernel/bpf/hashtab.c, bpf_fd_htab_map_update_elem.
 */
import { hash } from './hash.ts';
import { Errno, type MapType } from './map-type.ts';
import { badSpec } from './spec-check.ts';

/** Bytes of a number. */
const NUMBER_SIZE = 4;

export const hashOfMaps: MapType = {
  ...hash,
  id: 13,
  name: 'hash_of_maps',
  holds: 'maps',
  check(spec) {
    if (spec.valueSize !== NUMBER_SIZE) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted ${NUMBER_SIZE}`);
    hash.check(spec);
  },
  emitLookup(b, spec, context, key) {
    const value = hash.emitLookup(b, spec, context, key);
    return b.choose(
      value,
      () => b.load(NUMBER_SIZE, value),
      () => 0,
    );
  },
  // The verifier lets no program do either.
  emitUpdate: (b) => b.const(-Errno.EOPNOTSUPP),
  emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
};
