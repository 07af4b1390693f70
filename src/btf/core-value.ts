/** What a CO-RE relocation of a field asks, once the field is found. Source: Linux tools/lib/bpf/relo_core.c (calc_field_relo). */
import type { CoreKind } from './core-kind.ts';
import type { CorePath } from './core-path.ts';
import { BtfError } from './errors.ts';
import type { BtfType } from './type.ts';

/** What stands in the instruction, and what it is about to access. */
export interface FieldValue {
  readonly value: number;
  /** The field that an instruction with this offset accesses; undefined for bit fields, and for what is no offset. */
  readonly access: { readonly size: number; readonly type: BtfType } | undefined;
  /** False where compilers differ: nobody can tell what should have been there. */
  readonly isCertain: boolean;
}

/** Loads of bit fields take whole integers, at most this many bytes. */
const MAX_LOAD = 8;

type FieldQuestion = Exclude<Extract<CoreKind, { about: 'field' }>['asks'], 'exists'>;

/** @throws {BtfError} BTF_BAD_RELOCATION if the field cannot be loaded, and what measuring a malformed type throws */
export function fieldValue(asks: FieldQuestion, path: CorePath): FieldValue {
  const { btf, bitOffset } = path;
  const last = path.steps.at(-1)!;
  const id = last.kind === 'member' ? last.member.type : last.type;
  const type = btf.resolve(id);
  const size = btf.sizeOf(id);
  const bitSize = last.kind === 'member' ? last.member.bitSize : undefined;
  const loaded = bitSize === undefined ? { offset: bitOffset / 8, size } : loadOf(bitOffset, bitSize, size);
  if (!Number.isInteger(loaded.offset)) throw unloadable('a field that begins inside a byte');
  const isCertain = bitSize === undefined || asks === 'signed';
  const bits = bitSize ?? loaded.size * 8;
  const plain = (value: number): FieldValue => ({ value, access: undefined, isCertain });
  switch (asks) {
    case 'byteOffset':
      return { value: loaded.offset, access: bitSize === undefined ? { size, type } : undefined, isCertain };
    case 'byteSize':
      return plain(loaded.size);
    case 'signed':
      return plain('signed' in type && type.signed ? 1 : 0);
    case 'leftShift':
      return plain(64 - (bitOffset + bits - loaded.offset * 8));
    case 'rightShift':
      return plain(64 - bits);
  }
}

/** The smallest aligned integer around a bit field, no smaller than its type. */
function loadOf(
  bitOffset: number,
  bitSize: number,
  typeSize: number,
): { readonly offset: number; readonly size: number } {
  for (let size = Math.max(1, typeSize); size <= MAX_LOAD; size *= 2) {
    const offset = Math.floor(bitOffset / 8 / size) * size;
    if (bitOffset + bitSize <= (offset + size) * 8) return { offset, size };
  }
  throw unloadable(`a bit field of ${bitSize} bits at bit ${bitOffset}`);
}

function unloadable(what: string): BtfError {
  return new BtfError('BTF_BAD_RELOCATION', `cannot compute a CO-RE relocation: ${what}`);
}
