/** Writes BTF by hand, for what no compiler would. */
import { BtfHeader } from '../../src/btf/header.ts';
import { type BtfKind, KINDS } from '../../src/btf/type.ts';

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
  let strings = '\0';
  const text = (name: string): number => {
    strings += `${name}\0`;
    return strings.length - name.length - 1;
  };
  const words = types.flatMap(({ kind, name, value = 0, vlen = 0, flag, words: rows = [] }) => {
    const number = typeof kind === 'number' ? kind : KINDS.findIndex((row) => row.kind === kind);
    const info = ((flag ? 0x8000_0000 : 0) | (number << 24) | vlen) >>> 0;
    return [
      name === undefined ? 0 : text(name),
      info,
      value,
      ...rows.map((row) => (typeof row === 'string' ? text(row) : row)),
    ];
  });
  const typesSize = words.length * 4;
  const bytes = new Uint8Array(BtfHeader.size + typesSize + strings.length);
  BtfHeader.write(bytes, 0, {
    magic: 0xeb9f,
    version: 1,
    flags: 0,
    headerSize: BtfHeader.size,
    typesOffset: 0,
    typesSize,
    stringsOffset: typesSize,
    stringsSize: strings.length,
    ...header,
  });
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setUint32(BtfHeader.size + i * 4, word, true);
  });
  bytes.set(Buffer.from(strings, 'latin1'), BtfHeader.size + typesSize);
  return bytes;
}

/** Types most tests need: id 1 is int, 2 unsigned long long, 3 char, 4 _Bool. */
export const BASICS: readonly TypeBytes[] = [
  { kind: 'int', name: 'int', value: 4, words: [0x0100_0020] },
  { kind: 'int', name: 'unsigned long long', value: 8, words: [0x40] },
  { kind: 'int', name: 'char', value: 1, words: [0x0100_0008] },
  { kind: 'int', name: '_Bool', value: 1, words: [0x0400_0008] },
];
