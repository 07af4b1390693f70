/** Writes a .BTF section: strings that grow as they are named, and header, types and strings put together. */
import { BtfHeader } from './header.ts';

/** The string section: offsets of texts, in the order they came. The empty one has offset 0. */
export class BtfStrings {
  #text = '\0';

  /** Adds a text. @returns its offset */
  add(text: string): number {
    const offset = this.#text.length;
    this.#text += `${text}\0`;
    return offset;
  }

  /** The section; each character becomes a byte. */
  bytes(): Uint8Array {
    return Buffer.from(this.#text, 'latin1');
  }
}

/**
 * A section of types, given as the words of their records, and strings.
 *
 * @param header fields that are to be others than those that fit
 */
export function writeBtf(
  types: readonly number[],
  strings: BtfStrings,
  header: Partial<ReturnType<typeof BtfHeader.read>> = {},
): Uint8Array {
  const words = Uint32Array.from(types);
  const text = strings.bytes();
  const bytes = new Uint8Array(BtfHeader.size + words.byteLength + text.length);
  BtfHeader.write(bytes, 0, {
    magic: 0xeb9f,
    version: 1,
    flags: 0,
    headerSize: BtfHeader.size,
    typesOffset: 0,
    typesSize: words.byteLength,
    stringsOffset: words.byteLength,
    stringsSize: text.length,
    ...header,
  });
  bytes.set(new Uint8Array(words.buffer), BtfHeader.size);
  bytes.set(text, BtfHeader.size + words.byteLength);
  return bytes;
}
