/**
 * C structs as tables: one declaration reads, writes and tells the offsets that emitted code uses.
 * Little-endian, no implicit padding: padding is a named field, so the table shows every byte.
 */

interface ScalarType<V> {
  readonly size: number;
  get(view: DataView, at: number): V;
  set(view: DataView, at: number, value: V): void;
}

const SCALARS = {
  u8: { size: 1, get: (v, at) => v.getUint8(at), set: (v, at, x) => v.setUint8(at, x) },
  u16: { size: 2, get: (v, at) => v.getUint16(at, true), set: (v, at, x) => v.setUint16(at, x, true) },
  u32: { size: 4, get: (v, at) => v.getUint32(at, true), set: (v, at, x) => v.setUint32(at, x, true) },
  i32: { size: 4, get: (v, at) => v.getInt32(at, true), set: (v, at, x) => v.setInt32(at, x, true) },
} as const satisfies Record<string, ScalarType<number>>;

const SCALARS_64 = {
  u64: { size: 8, get: (v, at) => v.getBigUint64(at, true), set: (v, at, x) => v.setBigUint64(at, x, true) },
  i64: { size: 8, get: (v, at) => v.getBigInt64(at, true), set: (v, at, x) => v.setBigInt64(at, x, true) },
} as const satisfies Record<string, ScalarType<bigint>>;

export type ScalarName = keyof typeof SCALARS | keyof typeof SCALARS_64;
export type Fields = Readonly<Record<string, ScalarName>>;

/** What `read` returns: 64-bit fields are bigint, narrower ones number. */
export type Values<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends keyof typeof SCALARS_64 ? bigint : number;
};

export interface Struct<F extends Fields> {
  readonly name: string;
  /** Size in bytes, equal to the sum of the fields. */
  readonly size: number;
  /** Byte offset of each field, for emitted code: `[rdi + PtRegs.offsetOf.ip]`. */
  readonly offsetOf: { readonly [K in keyof F]: number };
  /** Size in bytes of each field. */
  readonly sizeOf: { readonly [K in keyof F]: number };
  /** @throws RangeError if `size` bytes do not fit at `at`. */
  read(bytes: Uint8Array, at?: number): Values<F>;
  /** @throws RangeError if `size` bytes do not fit at `at`. */
  write(bytes: Uint8Array, at: number, values: Values<F>): void;
}

/** A struct whose fields are not known statically: what tables of structs hold. */
export type AnyStruct = Pick<Struct<Fields>, 'name' | 'size'> & {
  readonly offsetOf: Readonly<Record<string, number>>;
  readonly sizeOf: Readonly<Record<string, number>>;
};

/** Declares a struct. `size` is stated by hand from the source, and checked against the fields. */
export function struct<const F extends Fields>(name: string, size: number, fields: F): Struct<F> {
  const offsetOf: Record<string, number> = {};
  const sizeOf: Record<string, number> = {};
  let end = 0;
  for (const [field, type] of Object.entries(fields)) {
    offsetOf[field] = end;
    sizeOf[field] = scalarSize(type);
    end += scalarSize(type);
  }
  // Once: structs are read and written while threads stand still.
  const accesses = Object.entries(fields).map(([field, type]) => {
    const scalar: ScalarType<number | bigint> = isWide(type) ? SCALARS_64[type] : SCALARS[type];
    return { field, offset: offsetOf[field]!, scalar };
  });
  if (end !== size) throw new RangeError(`struct ${name}: fields take ${end} bytes, declared ${size}`);

  return {
    name,
    size,
    offsetOf: offsetOf as { [K in keyof F]: number },
    sizeOf: sizeOf as { [K in keyof F]: number },
    read(bytes, at = 0) {
      const view = viewOf(bytes);
      const values: Record<string, number | bigint> = {};
      for (const { field, offset, scalar } of accesses) values[field] = scalar.get(view, at + offset);
      return values as Values<F>;
    },
    write(bytes, at, values) {
      const view = viewOf(bytes);
      for (const { field, offset, scalar } of accesses) scalar.set(view, at + offset, values[field]!);
    },
  };
}

/** A DataView over exactly the bytes of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function isWide(type: ScalarName): type is keyof typeof SCALARS_64 {
  return Object.hasOwn(SCALARS_64, type);
}

function scalarSize(type: ScalarName): number {
  return isWide(type) ? SCALARS_64[type].size : SCALARS[type].size;
}
