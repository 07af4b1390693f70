/** Writes BTF by hand, for what no compiler would. */
import type { BtfHeader } from '../../src/btf/header.ts';
import { type BtfKind, KINDS } from '../../src/btf/type.ts';
import { BtfStrings, writeBtf } from '../../src/btf/write.ts';

/** One type: its head, and the words that follow it. */
export interface TypeBytes {
  readonly kind: BtfKind | number;
  readonly name?: string;
  /** `size` or `type`. */
  readonly value?: number;
  /** Default: as many as there are words for. */
  readonly vlen?: number;
  readonly flag?: true;
  /** Rows behind the head; texts become offsets of the string section. */
  readonly words?: readonly (number | string)[];
}

/** A .BTF section of these types, ids from 1. */
export function btfBytes(
  types: readonly TypeBytes[],
  header: Partial<ReturnType<typeof BtfHeader.read>> = {},
): Uint8Array {
  const strings = new BtfStrings();
  const words = types.flatMap(({ kind, name, value = 0, vlen = 0, flag, words: rows = [] }) => {
    const number = typeof kind === 'number' ? kind : KINDS.findIndex((row) => row.kind === kind);
    const info = ((flag ? 0x8000_0000 : 0) | (number << 24) | vlen) >>> 0;
    return [
      name === undefined ? 0 : strings.add(name),
      info,
      value,
      ...rows.map((row) => (typeof row === 'string' ? strings.add(row) : row)),
    ];
  });
  return writeBtf(words, strings, header);
}

/** Types most tests need: id 1 is int, 2 unsigned long long, 3 char, 4 _Bool. */
export const BASICS: readonly TypeBytes[] = [
  { kind: 'int', name: 'int', value: 4, words: [0x0100_0020] },
  { kind: 'int', name: 'unsigned long long', value: 8, words: [0x40] },
  { kind: 'int', name: 'char', value: 1, words: [0x0100_0008] },
  { kind: 'int', name: '_Bool', value: 1, words: [0x0400_0008] },
];
