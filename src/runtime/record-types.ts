/**
 * What type a record has. A map may say it (`__type(value, struct event)`); a program says nothing, since a record is plain memory to
 * it. Then it is the struct of the object that is as large as the record, if there is only one.
 */
import type { Btf } from '../btf/btf.ts';
import { BtfError } from '../btf/errors.ts';
import type { MapSpec } from '../maps/map-type.ts';

/** Types with this in their name come first: what programs send is called so. */
const LIKELY = /event/i;
/** Structs that an object has for other reasons: contexts. */
const CONTEXTS = /^(pt_regs|user_pt_regs|trace_event_raw_.*|bpf_.*|____.*)$/;
/** Types of an object that are looked at: a hostile one has no end of them. */
const MOST_TYPES = 100_000;

/** The BTF type of a record by its size in bytes, 0 if it is not known. */
export function recordTypes(btf: Btf | undefined, { valueTypeId }: MapSpec): (size: number) => number {
  if (btf === undefined) return () => 0;
  const said = sizeAndKind(btf, valueTypeId);
  if (said?.isStruct) return (size) => (size >= said.size ? valueTypeId : 0);
  const bySize = structsBySize(btf);
  return (size) => (said?.size === size ? valueTypeId : (bySize.get(size) ?? 0));
}

function structsBySize(btf: Btf): ReadonlyMap<number, number> {
  const found = new Map<number, { readonly id: number; readonly name: string }[]>();
  for (let id = 1; id < Math.min(btf.count, MOST_TYPES); id++) {
    const type = typeOf(btf, id);
    if (type?.kind !== 'struct' || type.name === '' || CONTEXTS.test(type.name)) continue;
    const { size } = type;
    found.set(size, [...(found.get(size) ?? []), { id, name: type.name }]);
  }
  const only = new Map<number, number>();
  for (const [size, types] of found) {
    const likely = types.filter(({ name }) => LIKELY.test(name));
    const [first, ...others] = likely.length > 0 ? likely : types;
    if (first !== undefined && others.length === 0) only.set(size, first.id);
  }
  return only;
}

function typeOf(btf: Btf, id: number): ReturnType<Btf['type']> | undefined {
  try {
    return btf.type(id);
  } catch (error) {
    if (error instanceof BtfError) return undefined;
    throw error;
  }
}

function sizeAndKind(btf: Btf, id: number): { readonly size: number; readonly isStruct: boolean } | undefined {
  try {
    if (id === 0) return undefined;
    const { kind } = btf.resolve(id);
    return { size: btf.sizeOf(id), isStruct: kind === 'struct' || kind === 'union' };
  } catch (error) {
    if (error instanceof BtfError) return undefined;
    throw error;
  }
}
