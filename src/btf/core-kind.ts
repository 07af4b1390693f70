/** The kinds of CO-RE relocations. Source: Linux include/uapi/linux/bpf.h (enum bpf_core_relo_kind). */
import { BtfError } from './errors.ts';

/** What a relocation asks, and of what: a field, a type, or a value of an enum. */
export const CORE_KINDS = [
  { asks: 'byteOffset', about: 'field' },
  { asks: 'byteSize', about: 'field' },
  { asks: 'exists', about: 'field' },
  { asks: 'signed', about: 'field' },
  { asks: 'leftShift', about: 'field' },
  { asks: 'rightShift', about: 'field' },
  { asks: 'localId', about: 'type' },
  { asks: 'targetId', about: 'type' },
  { asks: 'exists', about: 'type' },
  { asks: 'size', about: 'type' },
  { asks: 'exists', about: 'enumerator' },
  { asks: 'value', about: 'enumerator' },
  { asks: 'matches', about: 'type' },
] as const;

export type CoreKind = (typeof CORE_KINDS)[number];

/** The kind of that number. @throws {BtfError} BTF_BAD_RELOCATION if there is none */
export function coreKind(number: number): CoreKind {
  const kind = CORE_KINDS[number];
  if (kind !== undefined) return kind;
  throw new BtfError(
    'BTF_BAD_RELOCATION',
    `cannot read a CO-RE relocation: kind ${number}, wanted 0 to ${CORE_KINDS.length - 1}`,
  );
}
