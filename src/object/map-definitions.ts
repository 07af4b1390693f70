/**
 * BTF-defined maps: every variable in `.maps` is a struct whose members' types are the definition. `__uint(name, n)` is
 * a pointer to an array of n elements, `__type(name, t)` a pointer to t.
 * Source: Linux tools/lib/bpf/bpf_helpers.h and libbpf.c (parse_btf_map_def).
 */
import type { Btf } from '../btf/btf.ts';
import type { Member } from '../btf/type.ts';
import { sectionVariables } from '../btf/variables.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { ObjectError } from './errors.ts';

/** A map, and where its variable lies: relocations refer to maps by that. */
export interface MapDefinition {
  /** Bytes from the start of `.maps`. */
  readonly offset: number;
  readonly spec: MapSpec;
  /** Bytes from the start of `.maps` to what the object puts into its first slot; undefined if it has no `values`. */
  readonly slots: number | undefined;
}

/** What a definition has said so far. */
type Draft = {
  -readonly [K in Exclude<
    keyof MapSpec,
    'name' | 'initialValue' | 'innerMap' | 'initialSlots' | 'extra' | 'pinned'
  >]: number;
};

const EMPTY: Draft = { type: 0, keySize: 0, valueSize: 0, maxEntries: 0, flags: 0, keyTypeId: 0, valueTypeId: 0 };

interface Reader {
  readonly btf: Btf;
  readonly map: string;
  readonly draft: Draft;
  /** It is the map that slots of another one hold. */
  readonly isInner: boolean;
  innerMap: MapSpec | undefined;
  extra: bigint;
  /** Bytes from the start of the variable. */
  slots: number | undefined;
  pinned: boolean;
}

/** What each member of a definition does to the draft. */
const FIELDS: Readonly<Record<string, (reader: Reader, member: Member) => void>> = {
  type: (reader, member) => set(reader, 'type', number(reader, member)),
  max_entries: (reader, member) => set(reader, 'maxEntries', number(reader, member)),
  map_flags: (reader, member) => set(reader, 'flags', number(reader, member)),
  key_size: (reader, member) => set(reader, 'keySize', number(reader, member)),
  value_size: (reader, member) => set(reader, 'valueSize', number(reader, member)),
  key(reader, member) {
    const id = pointee(reader, member);
    set(reader, 'keyTypeId', id);
    set(reader, 'keySize', reader.btf.sizeOf(id));
  },
  value(reader, member) {
    const id = pointee(reader, member);
    set(reader, 'valueTypeId', id);
    set(reader, 'valueSize', reader.btf.sizeOf(id));
  },
  /** Which memory a map lies in changes nothing that a program could see. */
  numa_node: (reader, member) => void number(reader, member),
  pinning(reader, member) {
    const how = number(reader, member);
    if (how > PIN_BY_NAME) throw badMap(reader, `pinning is ${how}, wanted ${PIN_BY_NAME}, which is by name`);
    if (reader.isInner && how !== 0) throw badMap(reader, 'it is inside another map and asks to be pinned');
    reader.pinned = how === PIN_BY_NAME;
  },
  map_extra(reader, member) {
    reader.extra = long(reader, member);
  },
  /** An array of pointers to what each slot holds: the definition of a map, or a program. */
  values(reader, member) {
    const array = reader.btf.resolve(member.type);
    if (array.kind !== 'array') throw badMap(reader, `values is a ${array.kind}, wanted __array(values, ...)`);
    const slot = reader.btf.resolve(array.type);
    if (slot.kind !== 'ptr') throw badMap(reader, `a slot is a ${slot.kind}, wanted a pointer`);
    set(reader, 'valueSize', NUMBER_SIZE);
    reader.slots = member.bitOffset / 8;
    const held = reader.btf.resolve(slot.type);
    if (held.kind !== 'struct') return;
    if (reader.isInner) throw badMap(reader, 'its slots hold maps of maps, wanted maps of values');
    reader.innerMap = readDefinition(reader.btf, `${reader.map}.inner`, slot.type, { isInner: true }).spec;
  },
};

/** What slots hold in place of what the object names there: descriptors in the kernel, here numbers. */
const NUMBER_SIZE = 4;

/** LIBBPF_PIN_BY_NAME */
const PIN_BY_NAME = 1;

/**
 * Reads every definition in `.maps`, in order of their addresses.
 *
 * @throws {ObjectError} OBJECT_BAD_MAP
 * @throws {BtfError} if a type is malformed
 */
export function readMapDefinitions(btf: Btf): MapDefinition[] {
  const section = btf.byName('datasec', '.maps');
  if (section === undefined) return [];
  return sectionVariables(btf, section.id).map(({ name, offset, typeId }) => {
    const { slots, ...definition } = readDefinition(btf, name, typeId, { isInner: false });
    return { ...definition, offset, slots: slots === undefined ? undefined : offset + slots };
  });
}

function readDefinition(
  btf: Btf,
  map: string,
  typeId: number,
  { isInner }: Pick<Reader, 'isInner'>,
): Omit<MapDefinition, 'offset'> {
  const nothing = { innerMap: undefined, slots: undefined, extra: 0n, pinned: false };
  const reader: Reader = { btf, map, isInner, draft: { ...EMPTY }, ...nothing };
  const definition = btf.resolve(typeId);
  if (definition.kind !== 'struct') throw badMap(reader, `it is a ${definition.kind}, wanted a struct`);
  for (const member of definition.members) {
    if (!Object.hasOwn(FIELDS, member.name)) throw badMap(reader, `it has a field '${member.name}', which no map has`);
    FIELDS[member.name]!(reader, member);
  }
  if (reader.draft.type === 0) throw badMap(reader, 'its type is missing');
  const { draft, innerMap, slots, extra, pinned } = reader;
  const spec = {
    name: map,
    ...draft,
    ...(innerMap && { innerMap }),
    ...(extra !== 0n && { extra }),
    ...(pinned && { pinned }),
  };
  return { spec, slots };
}

/** A size may be said twice, by `key` and `key_size`, if it is the same. */
function set({ map, draft }: Reader, field: keyof Draft, value: number): void {
  if (draft[field] !== 0 && draft[field] !== value) {
    throw new ObjectError('OBJECT_BAD_MAP', `cannot define map '${map}': ${field} is ${draft[field]} and ${value}`);
  }
  draft[field] = value;
}

/** The number of `int (*member)[number]`. */
function number(reader: Reader, member: Member): number {
  const array = reader.btf.resolve(pointee(reader, member));
  if (array.kind !== 'array') {
    throw badMap(reader, `${member.name} is a pointer to ${array.kind}, wanted __uint(${member.name}, ...)`);
  }
  return array.count;
}

/** The number of `enum { name = number } member`, which holds 64 bits, or the same as above. */
function long(reader: Reader, member: Member): bigint {
  const type = reader.btf.resolve(member.type);
  if (type.kind !== 'enum' && type.kind !== 'enum64') return BigInt(number(reader, member));
  const [only, ...others] = type.enumerators;
  if (only === undefined || others.length > 0) {
    throw badMap(reader, `${member.name} is an enum of ${type.enumerators.length} values, wanted one`);
  }
  return BigInt.asUintN(64, only.value);
}

/** What a member points to. */
function pointee(reader: Reader, member: Member): number {
  const pointer = reader.btf.resolve(member.type);
  if (pointer.kind !== 'ptr') throw badMap(reader, `${member.name} is a ${pointer.kind}, wanted a pointer`);
  return pointer.type;
}

function badMap({ map }: Reader, why: string): ObjectError {
  return new ObjectError('OBJECT_BAD_MAP', `cannot define map '${map}': ${why}`);
}
