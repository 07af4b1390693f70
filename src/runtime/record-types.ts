/**
 * What type a record has. A map may say it (`__type(value, struct event)`); a program says nothing, since a record is plain memory to
 * it. Then it is the struct as large as the record, if there is only one among those that the object itself names: as the type of
 * a variable, of a function's parameter, of a map's key or value. Others came along with the types of the kernel.
 */
import type { Btf } from '../btf/btf.ts';
import { BtfError } from '../btf/errors.ts';
import type { BtfType } from '../btf/type.ts';
import type { MapSpec } from '../maps/map-type.ts';

/** Of several, those with this in their name: what programs send is called so. */
const LIKELY = /event/i;
/** Structs that objects name for other reasons: contexts. */
const CONTEXTS = /^(pt_regs|user_pt_regs|trace_event_raw_.*|bpf_.*)$/;
/** Types of an object that are looked at: a hostile one has no end of them. */
const MOST_TYPES = 100_000;

/** The BTF type of a record by its size in bytes, 0 if it is not known. */
export function recordTypes(btf: Btf | undefined, { valueTypeId }: MapSpec): (size: number) => number {
  if (btf === undefined) return () => 0;
  const said = attempt(() => ({ size: btf.sizeOf(valueTypeId), kind: btf.resolve(valueTypeId).kind }));
  if (said?.kind === 'struct' || said?.kind === 'union') return (size) => (size >= said.size ? valueTypeId : 0);
  const bySize = structsBySize(btf);
  return (size) => (said?.size === size ? valueTypeId : (bySize.get(size) ?? 0));
}

/** Of each size the struct that stands out. */
function structsBySize(btf: Btf): ReadonlyMap<number, number> {
  const found = new Map<number, Map<string, number>>();
  for (const id of namedStructs(btf)) {
    const type = btf.resolve(id);
    if (type.kind !== 'struct' || type.name === '' || CONTEXTS.test(type.name)) continue;
    found.set(type.size, (found.get(type.size) ?? new Map<string, number>()).set(type.name, id));
  }
  const only = new Map<number, number>();
  for (const [size, types] of found) {
    const likely = [...types].filter(([name]) => LIKELY.test(name));
    const [first, ...others] = likely.length > 0 ? likely : types;
    if (first !== undefined && others.length === 0) only.set(size, first[1]);
  }
  return only;
}

/** What variables, parameters, and keys and values of maps are, or point to. */
function namedStructs(btf: Btf): number[] {
  const named: number[] = [];
  for (let id = 1; id < Math.min(btf.count, MOST_TYPES); id++) {
    for (const type of attempt(() => typesNamedBy(btf, btf.type(id))) ?? []) {
      const pointee = attempt(() => pointedTo(btf, type));
      if (pointee !== undefined) named.push(pointee);
    }
  }
  return named;
}

function typesNamedBy(btf: Btf, type: BtfType): readonly number[] {
  if (type.kind === 'func_proto') return type.params.map((param) => param.type);
  if (type.kind !== 'var') return [];
  const variable = btf.resolve(type.type);
  if (variable.kind !== 'struct' || variable.name !== '') return [type.type];
  return variable.members.filter(({ name }) => name === 'key' || name === 'value').map((member) => member.type);
}

function pointedTo(btf: Btf, id: number): number | undefined {
  const type = btf.resolve(id);
  const inner = type.kind === 'ptr' || type.kind === 'array' ? type.type : id;
  return btf.resolve(inner).kind === 'struct' ? inner : undefined;
}

/** Undefined where the object's BTF is damaged, or a type has no size. */
function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof BtfError) return undefined;
    throw error;
  }
}
