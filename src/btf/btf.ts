/**
 * BTF: the types of an object, by id. One pass finds where each type begins; a type is read when it is asked for, so
 * that a hostile file costs no more memory than what is looked at.
 * Source: Linux Documentation/bpf/btf.rst, include/uapi/linux/btf.h. Split BTF (types that continue a base's) is not read.
 */
import { cString } from '../bytes/c-string.ts';
import { viewOf } from '../bytes/struct.ts';
import { BtfError } from './errors.ts';
import { BtfHeader, readHeader, slice } from './header.ts';
import { type BtfKind, type BtfType, KINDS, TypeHead, TypeRow } from './type.ts';

/** How deep types may nest, as in the kernel (MAX_RESOLVE_DEPTH) and libbpf. */
export const MAX_DEPTH = 32;

/** The kernel's KSYM_NAME_LEN. */
const MAX_NAME = 512;
const MAX_TEXT = 65536;
const MAX_SIZE = 0x7fff_ffff;
const POINTER_SIZE = 8;

/** A type of one known kind. */
export type TypeOf<K extends BtfKind> = Extract<BtfType, { readonly kind: K }>;

/** The types of one object. Ids begin at 1; 0 is void. Every method may throw a BtfError: types are checked when read. */
export interface Btf {
  /** Ids run from 0 to `count` - 1. */
  readonly count: number;
  type(id: number): BtfType;
  /** The first type of that kind and name; undefined if there is none. */
  byName<K extends BtfKind>(kind: K, name: string): { readonly id: number; readonly type: TypeOf<K> } | undefined;
  /** Ids of all types of that name, and of its flavours: `name___old`. */
  idsNamed(name: string): readonly number[];
  /** The `btf_decl_tag`s of a type, or of its members and parameters. */
  tagsOf(id: number): readonly TypeOf<'decl_tag'>[];
  /** The type without its typedefs, const, volatile, restrict and tags. */
  resolve(id: number): BtfType;
  /** Bytes that a value of the type takes. @throws {BtfError} BTF_NO_SIZE, and what `type` throws */
  sizeOf(id: number): number;
  /** Bytes in the string section: `text` knows every offset below. */
  readonly stringsSize: number;
  /** The text at an offset of the string section: up to 64 KiB, since source lines are kept there too. */
  text(offset: number): string;
}

/**
 * Reads a .BTF section.
 *
 * @param bytes the section; must not change while the result is used
 * @throws {BtfError} BTF_TRUNCATED, BTF_BAD_MAGIC, BTF_BAD_HEADER, BTF_BAD_KIND
 */
export function readBtf(bytes: Uint8Array): Btf {
  const header = readHeader(bytes, BtfHeader, 'BTF');
  const body = bytes.subarray(header.headerSize);
  const types = slice(body, header.typesOffset, header.typesSize, 'BTF types');
  const strings = slice(body, header.stringsOffset, header.stringsSize, 'BTF strings');
  if (strings[0] !== 0 || strings.at(-1) !== 0) {
    throw new BtfError('BTF_BAD_HEADER', 'cannot read BTF strings: the section must begin and end with a zero byte');
  }
  return new LazyBtf(types, strings, findTypes(types));
}

/**
 * A copy of a .BTF section with the variables of one `datasec` elsewhere: the compiler gives those that an object only declares no
 * place.
 *
 * @param variables as many as it has, by their own ids
 * @throws {BtfError} as readBtf
 */
export function placeVariables(
  bytes: Uint8Array,
  datasec: number,
  variables: readonly { readonly id: number; readonly offset: number; readonly size: number }[],
): Uint8Array {
  const copy = new Uint8Array(bytes);
  const { headerSize, typesOffset, typesSize } = readHeader(copy, BtfHeader, 'BTF');
  const types = slice(copy.subarray(headerSize), typesOffset, typesSize, 'BTF types');
  const at = findTypes(types)[datasec]!;
  const sizeOrType = Math.max(0, ...variables.map(({ offset, size }) => offset + size));
  TypeHead.write(types, at, { ...TypeHead.read(types, at), sizeOrType });
  variables.forEach(({ id, offset, size }, row) => {
    TypeRow.variable.write(types, at + TypeHead.size + row * TypeRow.variable.size, { type: id, offset, size });
  });
  return copy;
}

/** Where in `types` each id begins. Id 0 has no place. */
function findTypes(types: Uint8Array): readonly number[] {
  const places = [-1];
  // A kernel has more than a hundred thousand types: of each this looks at one word.
  const view = viewOf(types);
  for (let at = 0; at < types.length; ) {
    if (at + TypeHead.size > types.length) slice(types, at, TypeHead.size, `BTF type ${places.length}`);
    const info = view.getUint32(at + TypeHead.offsetOf.info, true);
    const number = kindNumber(info);
    const row = KINDS[number];
    if (row === undefined || number === 0) {
      throw new BtfError(
        'BTF_BAD_KIND',
        `cannot read BTF type ${places.length}: kind ${number}, wanted 1 to ${KINDS.length - 1}`,
      );
    }
    places.push(at);
    at += TypeHead.size + rowCount(row, info) * (row.row === undefined ? 0 : TypeRow[row.row].size);
    if (at > types.length) {
      throw new BtfError(
        'BTF_TRUNCATED',
        `cannot read BTF type ${places.length - 1}: it ends at ${at}, the section at ${types.length}`,
      );
    }
  }
  return places;
}

function kindNumber(info: number): number {
  return (info >>> 24) & 0x1f;
}

function vlenOf(info: number): number {
  return info & 0xffff;
}

function rowCount(kind: (typeof KINDS)[number], info: number): number {
  return kind.repeats ? vlenOf(info) : 1;
}

class LazyBtf implements Btf {
  readonly #types: Uint8Array;
  readonly #strings: Uint8Array;
  readonly #places: readonly number[];
  readonly #names = new Map<BtfKind, ReadonlyMap<string, number>>();
  /** Ids by where in the strings their name begins. */
  #idsByText: ReadonlyMap<number, readonly number[]> | undefined;
  /** Ids of tags by what they are of. */
  #tags: ReadonlyMap<number, readonly number[]> | undefined;
  readonly #cache = new Map<number, BtfType>([[0, { kind: 'void' }]]);

  constructor(types: Uint8Array, strings: Uint8Array, places: readonly number[]) {
    this.#types = types;
    this.#strings = strings;
    this.#places = places;
  }

  get count(): number {
    return this.#places.length;
  }

  get stringsSize(): number {
    return this.#strings.length;
  }

  type(id: number): BtfType {
    const known = this.#cache.get(id);
    if (known !== undefined) return known;
    const type = this.#read(id);
    this.#cache.set(id, type);
    return type;
  }

  byName<K extends BtfKind>(kind: K, name: string): { id: number; type: TypeOf<K> } | undefined {
    const id = this.#idsByName(kind).get(name);
    return id === undefined ? undefined : { id, type: this.type(id) as TypeOf<K> };
  }

  idsNamed(name: string): readonly number[] {
    this.#idsByText ??= this.#indexNames();
    const ids: number[] = [];
    for (const place of namePlaces(this.#strings, name)) ids.push(...(this.#idsByText.get(place) ?? []));
    return ids;
  }

  tagsOf(id: number): readonly TypeOf<'decl_tag'>[] {
    this.#tags ??= this.#indexTags();
    return (this.#tags.get(id) ?? []).map((tag) => this.type(tag) as TypeOf<'decl_tag'>);
  }

  resolve(id: number): BtfType {
    let type = this.type(id);
    for (let depth = 0; isModifier(type); depth++) {
      if (depth > MAX_DEPTH) throw tooDeep(id);
      type = this.type(type.type);
    }
    return type;
  }

  sizeOf(id: number): number {
    let count = 1;
    let type = this.resolve(id);
    for (let depth = 0; type.kind === 'array' || type.kind === 'var'; depth++) {
      if (depth > MAX_DEPTH) throw tooDeep(id);
      if (type.kind === 'array') count *= type.count;
      type = this.resolve(type.type);
    }
    const size = count * unitSize(type, id);
    // Not `>`: endlessly many parts of no size are NaN bytes.
    if (!(size <= MAX_SIZE)) {
      throw new BtfError('BTF_TOO_LARGE', `cannot measure BTF type ${id}: ${size} bytes, at most ${MAX_SIZE}`);
    }
    return size;
  }

  text(offset: number): string {
    return this.#text(offset, MAX_TEXT);
  }

  #text(offset: number, limit: number): string {
    const text = cString(this.#strings, offset, limit);
    if (text === undefined) {
      throw new BtfError(
        'BTF_BAD_STRING',
        `cannot read a BTF string: none of less than ${limit} bytes at ${offset} of ${this.#strings.length}`,
      );
    }
    return text;
  }

  #head(id: number): ReturnType<typeof TypeHead.read> {
    const at = id > 0 ? this.#places[id] : undefined;
    if (at === undefined) {
      throw new BtfError('BTF_BAD_ID', `cannot read BTF type ${id}: the last one is ${this.count - 1}`);
    }
    return TypeHead.read(this.#types, at);
  }

  #read(id: number): BtfType {
    const { name, info, sizeOrType } = this.#head(id);
    const kind = KINDS[kindNumber(info)]!;
    const rowsAt = this.#places[id]! + TypeHead.size;
    return kind.read({
      name: this.#text(name, MAX_NAME),
      sizeOrType,
      vlen: vlenOf(info),
      flag: info >>> 31 !== 0,
      rows: (row) => {
        const { size, read } = TypeRow[row];
        const readRow = read as (bytes: Uint8Array, at: number) => ReturnType<(typeof TypeRow)[typeof row]['read']>;
        return Array.from({ length: rowCount(kind, info) }, (_, index) => readRow(this.#types, rowsAt + index * size));
      },
      text: (offset) => this.#text(offset, MAX_NAME),
    });
  }

  #indexNames(): ReadonlyMap<number, readonly number[]> {
    const ids = new Map<number, number[]>();
    const view = viewOf(this.#types);
    for (let id = 1; id < this.count; id++) {
      const name = view.getUint32(this.#places[id]! + TypeHead.offsetOf.name, true);
      if (name === 0) continue;
      const known = ids.get(name);
      if (known === undefined) ids.set(name, [id]);
      else known.push(id);
    }
    return ids;
  }

  #indexTags(): ReadonlyMap<number, readonly number[]> {
    const tags = new Map<number, number[]>();
    for (let id = 1; id < this.count; id++) {
      const { info, sizeOrType } = this.#head(id);
      if (KINDS[kindNumber(info)]!.kind !== 'decl_tag') continue;
      const known = tags.get(sizeOrType);
      if (known === undefined) tags.set(sizeOrType, [id]);
      else known.push(id);
    }
    return tags;
  }

  #idsByName(kind: BtfKind): ReadonlyMap<string, number> {
    const known = this.#names.get(kind);
    if (known !== undefined) return known;
    const ids = new Map<string, number>();
    // Backwards, so that of several types with one name the first stays.
    for (let id = this.count - 1; id > 0; id--) {
      const head = this.#head(id);
      if (KINDS[kindNumber(head.info)]!.kind === kind) ids.set(this.#text(head.name, MAX_NAME), id);
    }
    this.#names.set(kind, ids);
    return ids;
  }
}

/** Where in the strings a name begins, alone or with a flavour behind it. */
function* namePlaces(strings: Uint8Array, name: string): Generator<number> {
  const text = Buffer.from(strings.buffer, strings.byteOffset, strings.length);
  const wanted = Buffer.from(`\0${name}`, 'utf8');
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
    const end = at + wanted.length;
    if (text[end] === 0 || text.toString('latin1', end, end + FLAVOUR.length) === FLAVOUR) yield at + 1;
  }
}

const FLAVOUR = '___';

type Modifier = TypeOf<'typedef' | 'const' | 'volatile' | 'restrict' | 'type_tag'>;

function isModifier(type: BtfType): type is Modifier {
  return ['typedef', 'const', 'volatile', 'restrict', 'type_tag'].includes(type.kind);
}

function unitSize(type: BtfType, id: number): number {
  if (type.kind === 'ptr') return POINTER_SIZE;
  if ('size' in type) return type.size;
  throw new BtfError('BTF_NO_SIZE', `cannot measure BTF type ${id}: a ${type.kind} has no size`);
}

function tooDeep(id: number): BtfError {
  return new BtfError('BTF_TOO_DEEP', `cannot resolve BTF type ${id}: more than ${MAX_DEPTH} levels, or a cycle`);
}
