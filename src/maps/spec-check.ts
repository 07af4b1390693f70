/**
 * What every map type asks of a map definition before memory is given to it. The numbers come from an object file and
 * may be anything. Rules: Linux kernel/bpf/syscall.c map_create, and the `map_alloc_check` of each type.
 */
import { MapError } from './errors.ts';
import type { MapSpec } from './map-type.ts';

/** BPF_F_* of map creation, Linux include/uapi/linux/bpf.h. */
export const MapFlag = {
  NO_PREALLOC: 0x1,
  NO_COMMON_LRU: 0x2,
  NUMA_NODE: 0x4,
  RDONLY: 0x8,
  WRONLY: 0x10,
  ZERO_SEED: 0x40,
  RDONLY_PROG: 0x80,
  WRONLY_PROG: 0x100,
  MMAPABLE: 0x400,
} as const;

/** Who may write is checked where programs are loaded and maps are opened, so every type takes these. */
const ACCESS_FLAGS = MapFlag.RDONLY | MapFlag.WRONLY | MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG | MapFlag.NUMA_NODE;

/** What gives a number that is left to whoever loads the object, by its name. */
const FIXES: Readonly<Record<string, string>> = { max_entries: 'say how many: --max-entries' };

/** The most memory one map may take, in bytes: links inside a map have 32 bits for an offset, and mistakes are large. */
export const MAX_MAP_BYTES = 2 ** 30;

/**
 * Checks what is alike in all map types.
 *
 * @param flags the MapFlag bits this type knows besides those of access
 * @throws {MapError} MAP_BAD_SPEC
 */
export function checkNumbers(spec: MapSpec, flags: number): void {
  for (const [what, value] of [
    ['key_size', spec.keySize],
    ['value_size', spec.valueSize],
    ['max_entries', spec.maxEntries],
  ] as const) {
    if (value === 0) throw badSpec(spec, `${what} is 0, wanted at least 1`, FIXES[what]);
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
      throw badSpec(spec, `${what} is ${value}, wanted an unsigned 32-bit number`);
    }
  }
  if (spec.extra !== undefined) throw badSpec(spec, `map_extra is ${spec.extra}, this map type wants 0`);
  const unknown = (spec.flags & ~(flags | ACCESS_FLAGS)) >>> 0;
  if (unknown !== 0) throw badSpec(spec, `map_flags has 0x${unknown.toString(16)}, which this map type does not know`);
  const exclusive = MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG;
  if ((spec.flags & exclusive) === exclusive) {
    throw badSpec(spec, 'map_flags has both BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG, wanted one of them');
  }
  if (spec.initialValue !== undefined && spec.initialValue.length > spec.valueSize) {
    throw badSpec(spec, `its initial value has ${spec.initialValue.length} bytes, wanted ${spec.valueSize} at most`);
  }
}

/** @throws {MapError} MAP_TOO_LARGE if `bytes` is more than one map may take */
export function checkSize(spec: MapSpec, bytes: number): void {
  if (bytes <= MAX_MAP_BYTES) return;
  const size = `key ${spec.keySize}, value ${spec.valueSize}, ${spec.maxEntries} entries`;
  throw new MapError(
    'MAP_TOO_LARGE',
    `cannot create map ${spec.name}: it takes ${bytes} bytes (${size}), at most ${MAX_MAP_BYTES} are given`,
  );
}

/** The error for a spec that the kernel would refuse with EINVAL. */
export function badSpec(spec: MapSpec, reason: string, fix?: string): MapError {
  const message = `cannot create map ${spec.name}: ${reason}`;
  return new MapError('MAP_BAD_SPEC', message, fix === undefined ? {} : { fix: `${fix} ${spec.name}=N` });
}
