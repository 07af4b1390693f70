/**
 * A kernel setting, from the text of the configuration to the bytes of the variable that a program reads. The rules which type
 * takes which value are libbpf's (set_kcfg_value_tri, _str and _num in tools/lib/bpf/libbpf.c).
 */
import type { Btf } from '../btf/btf.ts';
import type { BtfType } from '../btf/type.ts';
import type { Variable } from '../btf/variables.ts';
import { ObjectError } from './errors.ts';

/** `enum libbpf_tristate` */
const TRISTATE: Readonly<Record<string, bigint>> = { n: 0n, y: 1n, m: 2n };

/**
 * Writes a setting where its variable lies.
 *
 * @param text as in the configuration: `y`, `m`, `100`, `0x20`, `"text"`
 * @returns OBJECT_EXTERN if the variable cannot hold it
 */
export function writeSetting(
  to: Uint8Array,
  btf: Btf,
  { name, typeId, offset, size }: Variable,
  text: string,
): ObjectError | undefined {
  const type = btf.resolve(typeId);
  const bytes = encode(btf, type, size, text);
  if (bytes === undefined) {
    return new ObjectError(
      'OBJECT_EXTERN',
      `cannot read the object: '${name}' is ${text}, which its type cannot hold`,
      {
        why: `it is declared as ${type.kind} of ${size} bytes`,
      },
    );
  }
  to.set(bytes, offset);
  return undefined;
}

function encode(btf: Btf, type: BtfType, size: number, text: string): Uint8Array | undefined {
  if (type.kind === 'array') {
    const isText = text.length >= 2 && text.startsWith('"') && text.endsWith('"') && btf.sizeOf(type.type) === 1;
    // As much as there is room for, and a NUL.
    return isText ? new TextEncoder().encode(text.slice(1, -1)).subarray(0, Math.max(0, size - 1)) : undefined;
  }
  const value = numberOf(type, size, text);
  if (value === undefined) return undefined;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return bytes.subarray(0, size);
}

function numberOf(type: BtfType, size: number, text: string): bigint | undefined {
  const state = Object.hasOwn(TRISTATE, text) ? TRISTATE[text] : undefined;
  const isTristate = type.kind === 'enum' && type.name === 'libbpf_tristate';
  if (isTristate) return state;
  if (type.kind !== 'int' || size > 8) return undefined;
  if (state !== undefined) {
    if (type.bool) return text === 'm' ? undefined : state;
    return size === 1 ? BigInt(text.charCodeAt(0)) : undefined;
  }
  if (!/^-?(?:\d+|0x[0-9a-fA-F]+)$/.test(text)) return undefined;
  const value = text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
  if (type.bool) return value === 0n || value === 1n ? value : undefined;
  const bits = size * 8;
  return value === (type.signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) ? value : undefined;
}
