/** What BTF says about one type, and how each kind lies in the file. Source: Linux Documentation/bpf/btf.rst. */
import { struct } from '../bytes/struct.ts';

/** A field of a struct or union. */
export interface Member {
  /** '' for an anonymous struct or union. */
  readonly name: string;
  readonly type: number;
  /** From the start of the struct. */
  readonly bitOffset: number;
  /** Width of a bit field; undefined for whole fields. */
  readonly bitSize: number | undefined;
}

/** A global variable within its section. */
export interface SectionVariable {
  /** Id of a `var`. */
  readonly type: number;
  /** In bytes. */
  readonly offset: number;
  readonly size: number;
}

interface Named {
  readonly name: string;
}

interface Sized extends Named {
  /** In bytes. */
  readonly size: number;
}

interface Refers {
  /** Id of the type referred to; 0 is void. */
  readonly type: number;
}

interface Composite<K> extends Sized {
  readonly kind: K;
  readonly members: readonly Member[];
}

interface Enumeration<K> extends Sized {
  readonly kind: K;
  readonly signed: boolean;
  readonly enumerators: readonly { readonly name: string; readonly value: bigint }[];
}

interface Reference<K> extends Refers {
  readonly kind: K;
}

/** One type. Names are '' where C has none. */
export type BtfType =
  | { readonly kind: 'void' }
  | (Sized & { readonly kind: 'int'; readonly signed: boolean; readonly bool: boolean })
  | (Sized & { readonly kind: 'float' })
  | Enumeration<'enum'>
  | Enumeration<'enum64'>
  | Reference<'ptr'>
  | (Refers & { readonly kind: 'array'; readonly indexType: number; readonly count: number })
  | Composite<'struct'>
  | Composite<'union'>
  | (Named & { readonly kind: 'fwd'; readonly isUnion: boolean })
  | (Named & Reference<'typedef'>)
  | Reference<'volatile'>
  | Reference<'const'>
  | Reference<'restrict'>
  | (Named & Reference<'type_tag'>)
  | (Named & Reference<'decl_tag'> & { readonly component: number })
  | (Named & Reference<'func'> & { readonly linkage: number })
  | (Reference<'func_proto'> & { readonly params: readonly { readonly name: string; readonly type: number }[] })
  | (Named & Reference<'var'> & { readonly linkage: number })
  | (Sized & { readonly kind: 'datasec'; readonly variables: readonly SectionVariable[] });

export type BtfKind = BtfType['kind'];

/** The common head of every type, before the rows that its kind adds. */
export const TypeHead = struct('btf_type', 12, { name: 'u32', info: 'u32', sizeOrType: 'u32' });

/** The rows that follow the head, by kind. */
export const TypeRow = {
  int: struct('btf_int', 4, { data: 'u32' }),
  array: struct('btf_array', 12, { type: 'u32', indexType: 'u32', count: 'u32' }),
  member: struct('btf_member', 12, { name: 'u32', type: 'u32', offset: 'u32' }),
  enumerator: struct('btf_enum', 8, { name: 'u32', value: 'i32' }),
  enumerator64: struct('btf_enum64', 12, { name: 'u32', low: 'u32', high: 'u32' }),
  param: struct('btf_param', 8, { name: 'u32', type: 'u32' }),
  linkage: struct('btf_var', 4, { linkage: 'u32' }),
  variable: struct('btf_var_secinfo', 12, { type: 'u32', offset: 'u32', size: 'u32' }),
  component: struct('btf_decl_tag', 4, { component: 'i32' }),
} as const;

/** What one type says, handed to its kind's `read`. */
export interface RawType {
  readonly name: string;
  /** `size` or `type`: the kind knows which. */
  readonly sizeOrType: number;
  readonly vlen: number;
  /** The top bit of `info`: bit fields in a struct, signed in an enum, a union declared ahead. */
  readonly flag: boolean;
  /** All rows behind the head. */
  rows<const K extends keyof typeof TypeRow>(row: K): ReturnType<(typeof TypeRow)[K]['read']>[];
  /** The name at an offset of the string section. */
  text(offset: number): string;
}

/** One kind: how many bytes follow the head, and what they mean. */
interface KindRow {
  readonly kind: BtfKind;
  /** Which rows follow: one, or as many as `vlen` says. */
  readonly row?: keyof typeof TypeRow;
  readonly repeats?: true;
  read(raw: RawType): BtfType;
}

const INT_SIGNED = 1;
const INT_BOOL = 4;

const readComposite = (kind: 'struct' | 'union') =>
  ({
    kind,
    row: 'member',
    repeats: true,
    read: (raw: RawType): BtfType => ({
      kind,
      name: raw.name,
      size: raw.sizeOrType,
      members: raw.rows('member').map((m) => ({
        name: raw.text(m.name),
        type: m.type,
        bitOffset: raw.flag ? m.offset & 0xff_ffff : m.offset,
        bitSize: raw.flag && m.offset >>> 24 !== 0 ? m.offset >>> 24 : undefined,
      })),
    }),
  }) as const;

const readModifier = (kind: 'ptr' | 'volatile' | 'const' | 'restrict') =>
  ({
    kind,
    read: (raw: RawType): BtfType => ({ kind, type: raw.sizeOrType }),
  }) as const;

/** Every kind, at its number. */
export const KINDS: readonly KindRow[] = [
  { kind: 'void', read: () => ({ kind: 'void' }) },
  {
    kind: 'int',
    row: 'int',
    read(raw) {
      const data = raw.rows('int')[0]!.data;
      const encoding = (data >>> 24) & 0x0f;
      return {
        kind: 'int',
        name: raw.name,
        size: raw.sizeOrType,
        signed: (encoding & INT_SIGNED) !== 0,
        bool: (encoding & INT_BOOL) !== 0,
      };
    },
  },
  readModifier('ptr'),
  {
    kind: 'array',
    row: 'array',
    read: (raw) => ({ kind: 'array', ...raw.rows('array')[0]! }),
  },
  readComposite('struct'),
  readComposite('union'),
  {
    kind: 'enum',
    row: 'enumerator',
    repeats: true,
    read: (raw) => ({
      kind: 'enum',
      name: raw.name,
      size: raw.sizeOrType,
      signed: raw.flag,
      enumerators: raw.rows('enumerator').map((e) => ({
        name: raw.text(e.name),
        value: BigInt(raw.flag ? e.value : e.value >>> 0),
      })),
    }),
  },
  { kind: 'fwd', read: (raw) => ({ kind: 'fwd', name: raw.name, isUnion: raw.flag }) },
  { kind: 'typedef', read: (raw) => ({ kind: 'typedef', name: raw.name, type: raw.sizeOrType }) },
  readModifier('volatile'),
  readModifier('const'),
  readModifier('restrict'),
  { kind: 'func', read: (raw) => ({ kind: 'func', name: raw.name, type: raw.sizeOrType, linkage: raw.vlen }) },
  {
    kind: 'func_proto',
    row: 'param',
    repeats: true,
    read: (raw) => ({
      kind: 'func_proto',
      type: raw.sizeOrType,
      params: raw.rows('param').map((p) => ({ name: raw.text(p.name), type: p.type })),
    }),
  },
  {
    kind: 'var',
    row: 'linkage',
    read: (raw) => ({ kind: 'var', name: raw.name, type: raw.sizeOrType, ...raw.rows('linkage')[0]! }),
  },
  {
    kind: 'datasec',
    row: 'variable',
    repeats: true,
    read: (raw) => ({ kind: 'datasec', name: raw.name, size: raw.sizeOrType, variables: raw.rows('variable') }),
  },
  { kind: 'float', read: (raw) => ({ kind: 'float', name: raw.name, size: raw.sizeOrType }) },
  {
    kind: 'decl_tag',
    row: 'component',
    read: (raw) => ({ kind: 'decl_tag', name: raw.name, type: raw.sizeOrType, ...raw.rows('component')[0]! }),
  },
  { kind: 'type_tag', read: (raw) => ({ kind: 'type_tag', name: raw.name, type: raw.sizeOrType }) },
  {
    kind: 'enum64',
    row: 'enumerator64',
    repeats: true,
    read: (raw) => ({
      kind: 'enum64',
      name: raw.name,
      size: raw.sizeOrType,
      signed: raw.flag,
      enumerators: raw.rows('enumerator64').map((e) => {
        const value = (BigInt(e.high) << 32n) | BigInt(e.low);
        return { name: raw.text(e.name), value: raw.flag ? BigInt.asIntN(64, value) : value };
      }),
    }),
  },
];
