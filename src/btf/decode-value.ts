/**
 * Bytes of a map's key or value to what JSON can say, by their BTF type. What comes out is what a C programmer would
 * write: structs are objects, anonymous members are the fields of what is around them, char arrays are texts.
 */
import { cString, utf8 } from '../bytes/c-string.ts';
import { toHex } from '../bytes/hex.ts';
import { viewOf } from '../bytes/struct.ts';
import { type Btf, MAX_DEPTH, type TypeOf } from './btf.ts';
import { BtfError } from './errors.ts';
import type { BtfType, Member } from './type.ts';
import { sectionVariables } from './variables.ts';

/** A value as JSON has it. Objects have no prototype, so that a field may be called anything. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** The largest integer there is: __int128. */
const MAX_INTEGER_SIZE = 16;
/** Parts a value may have beyond one per byte: a struct of nothing but empty structs has no natural end. */
const SPARE_PARTS = 1_000_000;

/**
 * Decodes one value.
 *
 * Integers that a double cannot hold exactly are decimal strings, pointers '0x..' strings, enums numbers. Bytes behind
 * the end of the type are ignored.
 *
 * @param typeId 0 if the type is not known: then the result is the bytes in lower-case hexadecimal
 * @throws {BtfError} BTF_TRUNCATED if there are fewer bytes than the type has, BTF_TOO_DEEP, BTF_TOO_LARGE, BTF_NO_SIZE,
 *   and what reading a malformed type throws
 */
export function decodeValue(btf: Btf | undefined, typeId: number, bytes: Uint8Array): JsonValue {
  if (btf === undefined || typeId === 0) return toHex(bytes);
  return new ValueDecoder(btf, bytes.length + SPARE_PARTS).decode(typeId, bytes, 0);
}

type Fields = Record<string, JsonValue>;

class ValueDecoder {
  readonly #btf: Btf;
  #partsLeft: number;

  constructor(btf: Btf, maxParts: number) {
    this.#btf = btf;
    this.#partsLeft = maxParts;
  }

  decode(typeId: number, bytes: Uint8Array, depth: number): JsonValue {
    if (depth > MAX_DEPTH)
      throw new BtfError('BTF_TOO_DEEP', `cannot decode a value: more than ${MAX_DEPTH} levels of types`);
    this.#takeParts(1);
    const type = this.#btf.resolve(typeId);
    // The compiler leaves the size of a section to the linker: it is as large as its bytes.
    const size = type.kind === 'datasec' ? bytes.length : this.#btf.sizeOf(typeId);
    if (size > bytes.length) {
      throw new BtfError('BTF_TRUNCATED', `cannot decode a value: ${bytes.length} bytes, its type has ${size}`);
    }
    return this.#decodeExactly(type, typeId, bytes.subarray(0, size), depth);
  }

  #decodeExactly(type: BtfType, typeId: number, bytes: Uint8Array, depth: number): JsonValue {
    switch (type.kind) {
      case 'int':
      case 'enum':
      case 'enum64':
        return bits(type, bytes, 0, bytes.length * 8);
      case 'ptr':
        return `0x${viewOf(bytes).getBigUint64(0, true).toString(16)}`;
      case 'float':
        return float(bytes);
      case 'array':
        return this.#array(type, bytes, depth);
      case 'struct':
      case 'union': {
        const fields: Fields = Object.create(null);
        for (const member of type.members) this.#addMember(fields, member, bytes, depth);
        return fields;
      }
      case 'var':
        return this.decode(type.type, bytes, depth + 1);
      case 'datasec': {
        const fields: Fields = Object.create(null);
        for (const { name, offset, typeId: id } of sectionVariables(this.#btf, typeId)) {
          fields[name] = this.decode(id, bytes.subarray(offset), depth + 1);
        }
        return fields;
      }
      default:
        throw new BtfError('BTF_NO_SIZE', `cannot decode a value: a ${type.kind} has none`);
    }
  }

  #array(type: TypeOf<'array'>, bytes: Uint8Array, depth: number): JsonValue {
    const element = this.#btf.resolve(type.type);
    if (element.kind === 'int' && element.name === 'char') return cString(bytes, 0, bytes.length) ?? utf8(bytes);
    this.#takeParts(type.count);
    const size = this.#btf.sizeOf(type.type);
    return Array.from({ length: type.count }, (_, i) => this.decode(type.type, bytes.subarray(i * size), depth + 1));
  }

  #addMember(fields: Fields, member: Member, bytes: Uint8Array, depth: number): void {
    const type = this.#btf.resolve(member.type);
    if (member.bitSize !== undefined) {
      this.#takeParts(1);
      fields[member.name] = bits(type, bytes, member.bitOffset, member.bitSize);
      return;
    }
    if (member.bitOffset % 8 !== 0) {
      throw new BtfError(
        'BTF_BAD_TYPE',
        `cannot decode field '${member.name}': it begins at bit ${member.bitOffset} and is no bit field`,
      );
    }
    const value = this.decode(member.type, bytes.subarray(member.bitOffset / 8), depth + 1);
    const anonymous = member.name === '' && (type.kind === 'struct' || type.kind === 'union');
    if (anonymous) Object.assign(fields, value);
    else fields[member.name] = value;
  }

  #takeParts(count: number): void {
    this.#partsLeft -= count;
    if (this.#partsLeft < 0) throw new BtfError('BTF_TOO_LARGE', 'cannot decode a value: too many parts for its size');
  }
}

/** An integer of `size` bits that begins at bit `at`: a whole one or a bit field. */
function bits(type: BtfType, bytes: Uint8Array, at: number, size: number): JsonValue {
  if (type.kind !== 'int' && type.kind !== 'enum' && type.kind !== 'enum64') {
    throw new BtfError('BTF_BAD_TYPE', `cannot decode a bit field: its type is a ${type.kind}, wanted an integer`);
  }
  if (size > MAX_INTEGER_SIZE * 8 || at + size > bytes.length * 8) {
    throw new BtfError('BTF_BAD_TYPE', `cannot decode an integer: ${size} bits at bit ${at} of ${bytes.length} bytes`);
  }
  let value = 0n;
  for (let i = Math.ceil((at + size) / 8) - 1; i >= at >> 3; i--) value = (value << 8n) | BigInt(bytes[i]!);
  value >>= BigInt(at % 8);
  if (type.kind === 'int' && type.bool) return BigInt.asUintN(size, value) !== 0n;
  return integer(type.signed ? BigInt.asIntN(size, value) : BigInt.asUintN(size, value));
}

function integer(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

/** What JSON has no number for (infinities, NaN, long double) becomes text. */
function float(bytes: Uint8Array): number | string {
  if (bytes.length !== 4 && bytes.length !== 8) return toHex(bytes);
  const value = bytes.length === 4 ? viewOf(bytes).getFloat32(0, true) : viewOf(bytes).getFloat64(0, true);
  return Number.isFinite(value) ? value : String(value);
}
