/**
 * The records that describe a session, as they lie in the target's shared memory. They refer to each other by slot
 * number (the fd of the kernel's world), never by pointer. After bpftime's handler manager.
 *
 *     | header 64 | record 0 (64) | record 1 | ... | texts: names, sections, places |
 *
 * The target can write here at any time, so every number read back is checked before it is used.
 */
import { struct, viewOf } from '../bytes/struct.ts';
import { RuntimeError } from './errors.ts';

/** Place of a record in the table. */
export type Slot = number;

export interface ProgHandler {
  readonly kind: 'program';
  readonly name: string;
  readonly section: string;
  readonly insnCount: number;
}

export interface MapHandler {
  readonly kind: 'map';
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Type ids in the object's BTF, 0 where unknown. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
  /** Where the map's memory lies, in bytes from the start of the shared memory. */
  readonly offset: number;
  readonly size: number;
}

/** "This place, reached." What and where is the attach implementation's business. */
export interface PerfEventHandler {
  readonly kind: 'perf event';
  readonly attachType: number;
  readonly privateData: string;
  /** What bpf_get_attach_cookie gives. */
  readonly cookie: bigint;
}

/** "When `perfEvent` fires, run `program`." */
export interface LinkHandler {
  readonly kind: 'link';
  readonly program: Slot;
  readonly perfEvent: Slot;
  /** The live attachment's id, 0 while there is none. */
  readonly entryId: number;
  /** Where the program is reached, 0n while it is not. */
  readonly address: bigint;
  /** Which of the session's counters counts its hits, and what that showed when it went live. */
  readonly counter: number;
  readonly hitsBefore: bigint;
  readonly missedBefore: bigint;
}

export type Handler = ProgHandler | MapHandler | PerfEventHandler | LinkHandler;

/** 'remora' and two bytes that no text has. */
const MAGIC = 0x0100_6172_6f6d_6572n;
/** Grows with every change of what lies in the shared memory. */
export const TABLE_VERSION = 2;

const Header = struct('remora_header', 64, {
  magic: 'u64',
  version: 'u32',
  slotCount: 'u32',
  textOffset: 'u32',
  textSize: 'u32',
  textUsed: 'u32',
  /** No slot from here on was ever used. */
  slotsUsed: 'u32',
  hits: 'u32',
  missed: 'u32',
  btf: 'u32',
  btfSize: 'u32',
  reserved: 'u64',
  reserved2: 'u64',
});

/** Where the rest of a session lies, in bytes from the beginning of its memory. */
export interface SessionPlaces {
  readonly hits: number;
  readonly missed: number;
  /** The object's BTF; size 0 if it has none. */
  readonly btf: number;
  readonly btfSize: number;
}

const RECORD_SIZE = 64;
/** No table is larger. */
const LARGEST_TABLE = 64 * 1024 * 1024;
const KIND = { free: 0, program: 1, map: 2, 'perf event': 3, link: 4 } as const;

const ProgRecord = struct('remora_prog', 16, { kind: 'u32', name: 'u32', section: 'u32', insnCount: 'u32' });
const MapRecord = struct('remora_map', 56, {
  kind: 'u32',
  name: 'u32',
  type: 'u32',
  keySize: 'u32',
  valueSize: 'u32',
  maxEntries: 'u32',
  flags: 'u32',
  keyTypeId: 'u32',
  valueTypeId: 'u32',
  padding: 'u32',
  offset: 'u64',
  size: 'u64',
});
const PerfEventRecord = struct('remora_perf_event', 24, {
  kind: 'u32',
  attachType: 'u32',
  privateData: 'u32',
  padding: 'u32',
  cookie: 'u64',
});
const LinkRecord = struct('remora_link', 48, {
  kind: 'u32',
  program: 'u32',
  perfEvent: 'u32',
  entryId: 'u32',
  address: 'u64',
  counter: 'u32',
  padding: 'u32',
  hitsBefore: 'u64',
  missedBefore: 'u64',
});

/** Room for `texts`, each with its length in front. */
function textBytes(texts: Iterable<string>): number {
  let size = 0;
  for (const text of texts) size += 4 + Buffer.byteLength(text);
  return size;
}

export class HandlerTable {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** No slot before it is free. */
  #firstFree: Slot = 0;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  /** Bytes that a table of `slotCount` records with these texts takes: a multiple of 64. */
  static size(slotCount: number, texts: Iterable<string>): number {
    return Math.ceil((Header.size + slotCount * RECORD_SIZE + textBytes(texts)) / 64) * 64;
  }

  /** Lays an empty table into zeroed memory; what the records leave of `bytes` is for texts. */
  static create(bytes: Uint8Array, slotCount: number, places: SessionPlaces): HandlerTable {
    const textOffset = Header.size + slotCount * RECORD_SIZE;
    if (textOffset > bytes.length) {
      throw new RuntimeError(
        'RUNTIME_TABLE_FULL',
        `cannot lay out ${slotCount} handlers: there are ${bytes.length} bytes`,
      );
    }
    Header.write(bytes, 0, {
      magic: MAGIC,
      version: TABLE_VERSION,
      slotCount,
      textOffset,
      textSize: bytes.length - textOffset,
      textUsed: 0,
      slotsUsed: 0,
      ...places,
      reserved: 0n,
      reserved2: 0n,
    });
    return new HandlerTable(bytes);
  }

  /**
   * Opens the table that another controller made.
   *
   * @throws {RuntimeError} RUNTIME_BAD_TABLE if it is none, is of another version, or does not fit `bytes`
   */
  static open(bytes: Uint8Array): HandlerTable {
    const header = bytes.length < Header.size ? undefined : Header.read(bytes);
    if (header?.magic !== MAGIC) throw new RuntimeError('RUNTIME_BAD_TABLE', 'cannot open the handler table: no magic');
    if (header.version !== TABLE_VERSION) {
      const found = `version ${header.version}, wanted ${TABLE_VERSION}`;
      throw new RuntimeError('RUNTIME_BAD_TABLE', `cannot open the handler table: it is of ${found}`);
    }
    const recordsEnd = Header.size + header.slotCount * RECORD_SIZE;
    if (header.textOffset !== recordsEnd || recordsEnd + header.textSize > bytes.length) {
      throw new RuntimeError(
        'RUNTIME_BAD_TABLE',
        `cannot open the handler table: ${header.slotCount} slots do not fit`,
      );
    }
    return new HandlerTable(bytes);
  }

  /**
   * Opens a copy of a table that lies elsewhere, of which only what is used is read.
   *
   * @param read gives `size` bytes from `offset` on
   * @throws {RuntimeError} RUNTIME_BAD_TABLE
   */
  static copy(read: (offset: number, size: number) => Uint8Array): HandlerTable {
    const header = Header.read(read(0, Header.size));
    const { slotCount, slotsUsed, textOffset, textSize, textUsed } = header;
    const size = Header.size + slotCount * RECORD_SIZE + textSize;
    if (size > LARGEST_TABLE || slotsUsed > slotCount || textUsed > textSize) {
      throw new RuntimeError('RUNTIME_BAD_TABLE', 'cannot copy the handler table: its numbers contradict each other');
    }
    const bytes = new Uint8Array(size);
    bytes.set(read(0, Header.size + slotsUsed * RECORD_SIZE));
    // A copy is of one moment: what came since is not in it.
    Header.write(bytes, 0, header);
    if (textUsed > 0 && textOffset + textUsed <= size) bytes.set(read(textOffset, textUsed), textOffset);
    return HandlerTable.open(bytes);
  }

  /** Where the rest of the session lies: numbers to be checked. */
  get places(): SessionPlaces {
    const { hits, missed, btf, btfSize } = Header.read(this.#bytes);
    return { hits, missed, btf, btfSize };
  }

  /** Stores a handler in the first free slot. @throws {RuntimeError} RUNTIME_TABLE_FULL */
  add(handler: Handler): Slot {
    const slot = this.#freeSlot();
    const at = recordAt(slot);
    // The kind goes in last: until then the slot reads as free.
    const kind = KIND.free;
    switch (handler.kind) {
      case 'program': {
        const [name, section] = [this.#addText(handler.name), this.#addText(handler.section)];
        ProgRecord.write(this.#bytes, at, { kind, name, section, insnCount: handler.insnCount });
        break;
      }
      case 'map': {
        const place = { offset: BigInt(handler.offset), size: BigInt(handler.size) };
        MapRecord.write(this.#bytes, at, { ...handler, ...place, kind, name: this.#addText(handler.name), padding: 0 });
        break;
      }
      case 'perf event': {
        const privateData = this.#addText(handler.privateData);
        PerfEventRecord.write(this.#bytes, at, { ...handler, kind, privateData, padding: 0 });
        break;
      }
      case 'link':
        LinkRecord.write(this.#bytes, at, { ...handler, kind, padding: 0 });
        break;
    }
    this.#view.setUint32(at, KIND[handler.kind], true);
    return slot;
  }

  /** Notes what counts the hits of a link, and what it shows before there are any. */
  setCounter(slot: Slot, counter: Pick<LinkHandler, 'counter' | 'hitsBefore' | 'missedBefore'>): void {
    const at = recordAt(slot);
    this.#view.setUint32(at + LinkRecord.offsetOf.counter, counter.counter, true);
    this.#view.setBigUint64(at + LinkRecord.offsetOf.hitsBefore, counter.hitsBefore, true);
    this.#view.setBigUint64(at + LinkRecord.offsetOf.missedBefore, counter.missedBefore, true);
  }

  /** Notes that a link went live, or with 0 and 0n that it is no longer. */
  setEntry(slot: Slot, entryId: number, address: bigint): void {
    const at = recordAt(slot);
    this.#view.setBigUint64(at + LinkRecord.offsetOf.address, address, true);
    this.#view.setUint32(at + LinkRecord.offsetOf.entryId, entryId, true);
  }

  remove(slot: Slot): void {
    this.#view.setUint32(recordAt(slot), KIND.free, true);
    this.#firstFree = Math.min(this.#firstFree, slot);
  }

  /** The handler in a slot, undefined if it is free. @throws {RuntimeError} RUNTIME_BAD_TABLE if it is damaged */
  get(slot: Slot): Handler | undefined {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#slotCount) return undefined;
    const at = recordAt(slot);
    switch (this.#view.getUint32(at, true)) {
      case KIND.free:
        return undefined;
      case KIND.program: {
        const { name, section, insnCount } = ProgRecord.read(this.#bytes, at);
        return { kind: 'program', name: this.#text(name), section: this.#text(section), insnCount };
      }
      case KIND.map: {
        const { name, kind: _, padding, offset, size, ...numbers } = MapRecord.read(this.#bytes, at);
        return { kind: 'map', name: this.#text(name), ...numbers, offset: Number(offset), size: Number(size) };
      }
      case KIND['perf event']: {
        const { attachType, privateData, cookie } = PerfEventRecord.read(this.#bytes, at);
        return { kind: 'perf event', attachType, privateData: this.#text(privateData), cookie };
      }
      case KIND.link: {
        const { kind: _, padding, ...link } = LinkRecord.read(this.#bytes, at);
        return { kind: 'link', ...link };
      }
      default:
        throw new RuntimeError('RUNTIME_BAD_TABLE', `cannot read handler ${slot}: its kind is unknown`);
    }
  }

  /** Every handler in use, by slot. */
  *handlers(): Generator<readonly [Slot, Handler]> {
    for (let slot = 0; slot < this.#slotCount; slot++) {
      const handler = this.get(slot);
      if (handler !== undefined) yield [slot, handler];
    }
  }

  /** The slot count as created: bounded by the memory, whatever the target has written there since. */
  get #slotCount(): number {
    const fits = Math.floor((this.#bytes.length - Header.size) / RECORD_SIZE);
    return Math.min(this.#view.getUint32(Header.offsetOf.slotCount, true), fits);
  }

  #freeSlot(): Slot {
    const count = this.#slotCount;
    for (let slot = this.#firstFree; slot < count; slot++) {
      if (this.#view.getUint32(recordAt(slot), true) !== KIND.free) continue;
      this.#firstFree = slot;
      const { slotsUsed } = Header.offsetOf;
      if (slot >= this.#view.getUint32(slotsUsed, true)) this.#view.setUint32(slotsUsed, slot + 1, true);
      return slot;
    }
    throw new RuntimeError('RUNTIME_TABLE_FULL', `cannot add a handler: all ${count} slots are taken`);
  }

  /** Appends a text and returns its place. Texts are never freed: a table lives as long as its session. */
  #addText(text: string): number {
    const { textOffset, textSize, textUsed } = Header.read(this.#bytes);
    const encoded = Buffer.from(text);
    const end = textUsed + 4 + encoded.length;
    if (end > textSize || textOffset + end > this.#bytes.length) {
      throw new RuntimeError(
        'RUNTIME_TABLE_FULL',
        `cannot store '${text}': ${textSize - textUsed} bytes of text are left`,
      );
    }
    this.#view.setUint32(textOffset + textUsed, encoded.length, true);
    this.#bytes.set(encoded, textOffset + textUsed + 4);
    this.#view.setUint32(Header.offsetOf.textUsed, end, true);
    return textOffset + textUsed;
  }

  #text(at: number): string {
    const length = at + 4 <= this.#bytes.length ? this.#view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    if (at + 4 + length > this.#bytes.length) {
      throw new RuntimeError('RUNTIME_BAD_TABLE', `cannot read the text at ${at}: it does not fit the table`);
    }
    return Buffer.from(this.#bytes.subarray(at + 4, at + 4 + length)).toString();
  }
}

const recordAt = (slot: Slot): number => Header.size + slot * RECORD_SIZE;
