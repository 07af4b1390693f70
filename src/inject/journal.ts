/**
 * The journal: what a session has put into its target, written down in the target's own memory before it is done. Whoever
 * comes later, after the controller was killed at any point, can tell from it what stood there and put it back.
 *
 *     | header 112 | regions, 32 each ... 4096 | sites, 64 each | client memory ... | lease and other words, 16 bytes |
 *
 * Nothing is ever struck out: what stands in the target tells what is still to be undone, so the journal holds as well for
 * children that it forked meanwhile, which share it. A site that changes has both its old and its new bytes here until the
 * new ones stand. The target can write anything here; the reader (found-journal.ts) believes only what it finds true.
 */
import { struct, viewOf } from '../bytes/struct.ts';
import { InjectError } from './errors.ts';

/** 'remora' and two bytes that no text has. */
export const JOURNAL_MAGIC = 0x0200_6172_6f6d_6572n;
/** Grows with every change of what lies in the memory, whoever's it is: table, counters and maps too. */
export const JOURNAL_VERSION = 6;

export const JournalHeader = struct('remora_journal', 112, {
  magic: 'u64',
  version: 'u32',
  /** One of JournalState. */
  state: 'u32',
  /** Random: what tells sessions, and their code in the target, from all others. */
  idLow: 'u64',
  idHigh: 'u64',
  /** Who made it, in its own pid namespace, and when that process began. */
  controllerPid: 'u32',
  regionCount: 'u32',
  controllerNamespace: 'u64',
  controllerStart: 'u64',
  /** When it was made: milliseconds since 1970. */
  time: 'u64',
  /** Where all that a session begins with lies: this memory, a private page, the first code region. */
  address: 'u64',
  sharedSize: 'u64',
  wholeSize: 'u64',
  siteCount: 'u32',
  siteCapacity: 'u32',
  clientOffset: 'u32',
  clientSize: 'u32',
  reserved: 'u64',
});

/** What has become of a session. */
export const JournalState = {
  OPEN: 0,
  /** Its programs run on when the controller has died. */
  PINNED: 1,
  /** Someone has taken it off; if there is a controller it is to leave. */
  CLOSED: 2,
} as const;

export const JournalRegion = struct('remora_region', 32, {
  address: 'u64',
  size: 'u64',
  kind: 'u32',
  padding: 'u32',
  /** What it begins with if another session made it, else 0. */
  signature: 'u64',
});

/** What a region is. */
export const RegionKind = {
  /** It was never mapped. */
  NONE: 0,
  CODE: 1,
  /** Where return addresses are kept: all sessions of the process use one together. */
  RETURNS: 2,
  /** What each function's use of them is. */
  HOOKS: 3,
} as const;
export type RegionKindNumber = (typeof RegionKind)[keyof typeof RegionKind];

export const JournalSite = struct('remora_site', 64, {
  address: 'u64',
  originalLow: 'u64',
  originalHigh: 'u64',
  /** What stands there, and what will stand there if the controller was killed while it changed that. */
  presentLow: 'u64',
  presentHigh: 'u64',
  nextLow: 'u64',
  nextHigh: 'u64',
  length: 'u32',
  flags: 'u8',
  /** Bytes of displaced instructions that its trampolines begin with: others lead on behind them. */
  leadIn: 'u8',
  /** Bytes from `address` on whose instructions run elsewhere: at least `length`. */
  extent: 'u16',
});

/** Among the sites: where a trampoline leads on to another session's, if it does. See chain.ts. */
export const JournalOnward = struct('remora_onward', 64, {
  address: 'u64',
  /** Of the trampoline that it belongs to. */
  trampoline: 'u64',
  reserved0: 'u64',
  reserved1: 'u64',
  reserved2: 'u64',
  reserved3: 'u64',
  reserved4: 'u64',
  length: 'u32',
  flags: 'u8',
  leadIn: 'u8',
  extent: 'u16',
});

/**
 * Of a site. ONWARD: it is a JournalOnward. UNLOADED: its library is gone, and what stands there is not ours; a child that was forked
 * before may have it still.
 */
export const SiteFlag = { GUARD: 1, ONWARD: 2, UNLOADED: 4 } as const;

/** Each region begins with the session's id; code lies behind it. */
export const SIGNATURE_SIZE = 16;
export const REGIONS_OFFSET = JournalHeader.size;
export const MAX_REGIONS = 64;
export const SITES_OFFSET = 4096;
/** Sites of one session. Pages of those that are not there take no memory. */
export const SITE_CAPACITY = 131_072;
/** Where the client's memory begins: whole pages. */
export const JOURNAL_SIZE = SITES_OFFSET + SITE_CAPACITY * JournalSite.size;
/** Behind the client's memory: the lease word, the two by which threads and their controller meet, and four bytes of nothing. */
export const TRAILER_SIZE = 16;

/** What the header says from the beginning. */
export interface JournalOrigin {
  readonly controllerPid: number;
  readonly controllerNamespace: bigint;
  readonly controllerStart: bigint;
  readonly time: bigint;
  readonly address: bigint;
  readonly sharedSize: bigint;
  readonly wholeSize: bigint;
  readonly clientSize: number;
  readonly state: number;
}

/** A change of a site, as the journal sees it. */
export interface SiteChange {
  readonly address: bigint;
  readonly original: Uint8Array;
  readonly wanted: Uint8Array;
  /** It keeps threads safe that are on their way through other sites. */
  readonly isGuard?: boolean;
  /** Bytes from `address` on whose instructions run elsewhere, if more than `original`. */
  readonly extent?: number;
  /** Bytes of displaced instructions that its trampoline begins with. */
  readonly leadIn?: number;
}

/** Where a trampoline leads on to another session's. */
export interface OnwardNote {
  readonly address: bigint;
  readonly trampoline: bigint;
}

/** How the memory of a session begins: a journal with nothing in it. */
export function newJournal(origin: JournalOrigin): Uint8Array {
  const [idLow, idHigh] = crypto.getRandomValues(new BigUint64Array(2)) as BigUint64Array & [bigint, bigint];
  const client = { clientOffset: JOURNAL_SIZE, clientSize: origin.clientSize };
  const counts = { regionCount: 0, siteCount: 0, siteCapacity: SITE_CAPACITY };
  const own = { idLow, idHigh, magic: JOURNAL_MAGIC, version: JOURNAL_VERSION, reserved: 0n };
  const bytes = new Uint8Array(JournalHeader.size);
  JournalHeader.write(bytes, 0, { ...origin, ...client, ...counts, ...own });
  return bytes;
}

/** Written by the controller that made it. */
export class Journal {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Where each site is noted, by address and length. */
  readonly #sites = new Map<bigint, number>();

  /** @param bytes begin with what `newJournal` made; behind it zeros, at least JOURNAL_SIZE in all */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  /** The session's name: the same in every process that shares it. */
  get id(): string {
    return journalId(this.#view.getBigUint64(JournalHeader.offsetOf.idLow, true));
  }

  /** What each region of the session begins with. */
  get signature(): Uint8Array {
    const at = JournalHeader.offsetOf.idLow;
    return this.#bytes.slice(at, at + SIGNATURE_SIZE);
  }

  /** True once somebody else has taken the session off. */
  get isClosed(): boolean {
    return this.#view.getUint32(JournalHeader.offsetOf.state, true) === JournalState.CLOSED;
  }

  close(): void {
    this.#view.setUint32(JournalHeader.offsetOf.state, JournalState.CLOSED, true);
  }

  /**
   * Notes a region that is about to be mapped, or used.
   *
   * @param signature what it begins with if another session made it
   * @returns what takes the note back if it could not be mapped
   * @throws {InjectError} INJECT_JOURNAL_FULL
   */
  willMap(address: bigint, size: number, kind: RegionKindNumber, signature = 0n): () => void {
    const { regionCount } = JournalHeader.offsetOf;
    const index = this.#view.getUint32(regionCount, true);
    if (index >= MAX_REGIONS) throw journalFull(`${MAX_REGIONS} regions`);
    const at = REGIONS_OFFSET + index * JournalRegion.size;
    JournalRegion.write(this.#bytes, at, { address, size: BigInt(size), kind, padding: 0, signature });
    this.#view.setUint32(regionCount, index + 1, true);
    return () => this.#view.setUint32(at + JournalRegion.offsetOf.kind, RegionKind.NONE, true);
  }

  /**
   * Notes what sites are about to become.
   *
   * @returns what notes that they have
   * @throws {InjectError} INJECT_JOURNAL_FULL
   */
  willPatch(changes: readonly SiteChange[]): () => void {
    const places = changes.map((change) => this.#noteNext(change));
    return () => {
      for (const at of places) {
        const next = at + JournalSite.offsetOf.nextLow;
        this.#bytes.copyWithin(at + JournalSite.offsetOf.presentLow, next, next + 16);
      }
    };
  }

  /** Notes that a site is gone with its library. */
  noteUnloaded(address: bigint, length: number): void {
    const known = this.#sites.get(keyOf(address, length));
    if (known === undefined) return;
    const at = known + JournalSite.offsetOf.flags;
    this.#view.setUint8(at, this.#view.getUint8(at) | SiteFlag.UNLOADED);
  }

  /** Notes that a trampoline is about to lead on to another session's. @throws {InjectError} INJECT_JOURNAL_FULL */
  willLeadOn({ address, trampoline }: OnwardNote): void {
    const key = keyOf(address, 0);
    if (this.#sites.has(key)) return;
    this.#newEntry(key, (at) => {
      const reserved = { reserved0: 0n, reserved1: 0n, reserved2: 0n, reserved3: 0n, reserved4: 0n };
      const own = { address, trampoline, length: 0, flags: SiteFlag.ONWARD, leadIn: 0, extent: 0 };
      JournalOnward.write(this.#bytes, at, { ...own, ...reserved });
    });
  }

  #noteNext({ address, original, wanted, isGuard, extent = original.length, leadIn = 0 }: SiteChange): number {
    const { offsetOf } = JournalSite;
    const key = keyOf(address, original.length);
    const known = this.#sites.get(key);
    const flag = isGuard ? SiteFlag.GUARD : 0;
    const isSame = known !== undefined && this.#bytes[known + offsetOf.leadIn] === leadIn;
    if (isSame && original.every((byte, n) => byte === this.#bytes[known + offsetOf.originalLow + n])) {
      this.#bytes.set(wanted, known + offsetOf.nextLow);
      this.#view.setUint8(known + offsetOf.flags, flag);
      return known;
    }
    return this.#newEntry(key, (at) => {
      this.#view.setBigUint64(at, address, true);
      this.#bytes.set(original, at + offsetOf.originalLow);
      this.#bytes.set(original, at + offsetOf.presentLow);
      this.#bytes.set(wanted, at + offsetOf.nextLow);
      this.#view.setUint32(at + offsetOf.length, original.length, true);
      this.#view.setUint8(at + offsetOf.flags, flag);
      this.#view.setUint8(at + offsetOf.leadIn, leadIn);
      this.#view.setUint16(at + offsetOf.extent, extent, true);
    });
  }

  #newEntry(key: bigint, fill: (at: number) => void): number {
    const { siteCount } = JournalHeader.offsetOf;
    const index = this.#view.getUint32(siteCount, true);
    if (index >= SITE_CAPACITY) throw journalFull(`${SITE_CAPACITY} sites`);
    const at = SITES_OFFSET + index * JournalSite.size;
    fill(at);
    // Last: until then nobody reads the entry.
    this.#view.setUint32(siteCount, index + 1, true);
    this.#sites.set(key, at);
    return at;
  }
}

function keyOf(address: bigint, length: number): bigint {
  return (address << 8n) | BigInt(length);
}

/** What a session is called, by the lower half of its random number. */
export function journalId(idLow: bigint): string {
  return idLow.toString(16).padStart(16, '0').slice(-8);
}

function journalFull(what: string): InjectError {
  return new InjectError('INJECT_JOURNAL_FULL', `cannot note what is put into the target: a session holds ${what}`);
}
