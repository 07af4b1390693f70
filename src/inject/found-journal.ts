/**
 * Journals as another controller finds them: read out of a process's memory, every number checked before it is used, since
 * the process may have written there what it likes.
 */
import { NEAR_JUMP_SIZE } from '../arch/x64/near-jump.ts';
import { viewOf } from '../bytes/struct.ts';
import { type AddressRange, isInside } from '../process/stack-scan.ts';
import { readPidNamespace, readStartTime } from '../sys/proc.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { HOLDER_DIED, ROBUST_WORD_FROM_END } from '../sys/robust-word.ts';
import { InjectError } from './errors.ts';
import { PAGE_SIZE } from './gaps.ts';
import {
  JOURNAL_MAGIC,
  JOURNAL_SIZE,
  JOURNAL_VERSION,
  JournalHeader,
  JournalOnward,
  JournalRegion,
  JournalSite,
  JournalState,
  journalId,
  MAX_REGIONS,
  type OnwardNote,
  REGIONS_OFFSET,
  RegionKind,
  SIGNATURE_SIZE,
  SITE_CAPACITY,
  SITES_OFFSET,
  SiteFlag,
  TRAILER_SIZE,
} from './journal.ts';
import { LONGEST_PATCH } from './patch.ts';
import type { Region } from './regions.ts';

/** The memory file of every session, as /proc/PID/maps names it. */
const MEMORY_FILE = '/memfd:remora';
/** More is never mapped at once. */
const LARGEST = 2n ** 40n;

/** A region as a journal has it. */
export interface FoundRegion extends Region {
  readonly kind: number;
  /** What it begins with: the session's own signature, or that of the session that made it. */
  readonly signature: bigint;
}

/** A site that a session has, or had. */
export interface FoundSite {
  readonly address: bigint;
  readonly original: Uint8Array;
  /** What may stand there in its place. */
  readonly ours: readonly Uint8Array[];
  readonly isGuard: boolean;
  /** Bytes from `address` on whose instructions may run elsewhere. */
  readonly extent: number;
  /** Bytes of displaced instructions that its trampolines begin with: others lead on behind them. */
  readonly leadIn: number;
  /** Its library is gone: what stands there is ours only if it is exactly that. */
  readonly isUnloaded: boolean;
}

/** One session in a process, as its journal tells. A snapshot: reading again may tell other things. */
export class FoundJournal {
  readonly memory: ProcessMemory;
  /** Where the journal lies in the process. */
  readonly address: bigint;
  readonly #header: ReturnType<typeof JournalHeader.read>;
  readonly #mappings: readonly Mapping[];

  /** @throws {InjectError} INJECT_UNKNOWN_JOURNAL if it is damaged, or of another version */
  constructor(address: bigint, mappings: readonly Mapping[], memory: ProcessMemory) {
    this.address = address;
    this.memory = memory;
    this.#mappings = mappings;
    this.#header = JournalHeader.read(memory.read(address, JournalHeader.size));
    const { magic, version } = this.#header;
    if (magic !== JOURNAL_MAGIC) throw this.#unknown('it does not begin as one');
    if (version !== JOURNAL_VERSION) {
      throw this.#unknown(`it is of version ${version}, and this remora knows ${JOURNAL_VERSION}`);
    }
    const { sharedSize, wholeSize, clientOffset, clientSize, siteCount, regionCount } = this.#header;
    const isSound =
      this.#header.address === address &&
      wholeSize < LARGEST &&
      wholeSize % BigInt(PAGE_SIZE) === 0n &&
      sharedSize % BigInt(PAGE_SIZE) === 0n &&
      sharedSize + BigInt(PAGE_SIZE) < wholeSize &&
      clientOffset === JOURNAL_SIZE &&
      BigInt(clientOffset) + BigInt(clientSize) + BigInt(TRAILER_SIZE) <= sharedSize &&
      siteCount <= SITE_CAPACITY &&
      regionCount <= MAX_REGIONS;
    if (!isSound) throw this.#unknown('its numbers contradict each other');
    for (let at = address; at < address + sharedSize; ) {
      // Maps may be another target's, and their file another one.
      const shared = mappingAt(mappings, at);
      if (shared?.path !== MEMORY_FILE || shared.permissions !== 'rw-s')
        throw this.#unknown('it is not mapped as a whole');
      at = shared.end;
    }
  }

  /** The session's name: the same in every process that shares it. */
  get id(): string {
    return journalId(this.#header.idLow);
  }

  get controllerPid(): number {
    return this.#header.controllerPid;
  }

  /** When the session began. */
  get time(): Date {
    return new Date(Number(BigInt.asUintN(52, this.#header.time)));
  }

  get isPinned(): boolean {
    return this.#header.state === JournalState.PINNED;
  }

  /** True if someone has taken it off already, and only its memory is left. */
  get isClosed(): boolean {
    return this.#header.state === JournalState.CLOSED;
  }

  /** Whether its controller is there; `undefined` if that cannot be told: it is in another pid namespace. */
  get hasController(): boolean | undefined {
    const word = new DataView(this.memory.read(this.#leaseAddress, 4).buffer).getUint32(0, true);
    if (word !== 0) return (word & HOLDER_DIED) === 0;
    const { controllerPid, controllerNamespace, controllerStart } = this.#header;
    if (readPidNamespace(process.pid) !== controllerNamespace) return undefined;
    try {
      return readStartTime(controllerPid) === controllerStart;
    } catch {
      return false;
    }
  }

  /** All that was taken when the session began, in one step. */
  get whole(): Region {
    return { address: this.address, size: Number(this.#header.wholeSize) };
  }

  /** The first code region; further ones are among `regions`. */
  get firstCode(): Region {
    const { sharedSize, wholeSize } = this.#header;
    const offset = sharedSize + BigInt(PAGE_SIZE);
    return { address: this.address + offset, size: Number(wholeSize - offset) };
  }

  /** Further regions, as they are noted. */
  get regions(): readonly FoundRegion[] {
    const { regionCount } = this.#header;
    const bytes = this.memory.read(this.address + BigInt(REGIONS_OFFSET), regionCount * JournalRegion.size);
    return Array.from({ length: regionCount }, (_, n) => JournalRegion.read(bytes, n * JournalRegion.size))
      .filter(({ kind, size }) => kind !== RegionKind.NONE && size > 0n && size < LARGEST)
      .map(({ address, size, kind, signature }) => ({
        address,
        size: Number(size),
        kind,
        signature: signature === 0n ? this.#header.idLow : signature,
      }));
  }

  /** True if a region is there still: it begins with the session's own signature, or with nothing written yet. */
  holds({ address, size, kind, signature }: FoundRegion, mappings: readonly Mapping[]): boolean {
    const permissions = kind === RegionKind.CODE ? 'r-xp' : 'rw-p';
    const mapping = mappingAt(mappings, address);
    const end = address + BigInt(size);
    if (mapping?.permissions !== permissions || mapping.inode !== 0n || mapping.end < end) return false;
    const first = this.memory.read(address, SIGNATURE_SIZE);
    if (viewOf(first).getBigUint64(0, true) === signature) return true;
    const isExact = mapping.start === address && mapping.end === end;
    return isExact && first.every((byte) => byte === 0);
  }

  /** How much memory the session takes. */
  mappedBytes(mappings: readonly Mapping[]): number {
    const held = this.regions.filter((region) => this.holds(region, mappings));
    return [this.whole, ...held].reduce((sum, { size }) => sum + size, 0);
  }

  /** Sites in the order they were first changed. */
  get sites(): readonly FoundSite[] {
    const bytes = this.#entries();
    const sites: FoundSite[] = [];
    for (let at = 0; at < bytes.length; at += JournalSite.size) {
      const { address, length, flags, leadIn, extent } = JournalSite.read(bytes, at);
      if ((flags & SiteFlag.ONWARD) !== 0 || length < 1 || length > LONGEST_PATCH) continue;
      const part = (field: number): Uint8Array => bytes.subarray(at + field, at + field + length);
      const { originalLow, presentLow, nextLow } = JournalSite.offsetOf;
      sites.push({
        address,
        original: part(originalLow),
        ours: [part(presentLow), part(nextLow)],
        extent: Math.max(extent, length),
        leadIn,
        isGuard: (flags & SiteFlag.GUARD) !== 0,
        isUnloaded: (flags & SiteFlag.UNLOADED) !== 0,
      });
    }
    return sites;
  }

  /** Where its trampolines may lead on to those of other sessions: places in its own code. */
  get onwards(): readonly OnwardNote[] {
    const bytes = this.#entries();
    const code = this.codeRegions(this.#mappings);
    const onwards: OnwardNote[] = [];
    for (let at = 0; at < bytes.length; at += JournalOnward.size) {
      const { address, trampoline, flags } = JournalOnward.read(bytes, at);
      const last = address + BigInt(NEAR_JUMP_SIZE - 1);
      if ((flags & SiteFlag.ONWARD) === 0 || !isInside(code, address) || !isInside(code, last)) continue;
      onwards.push({ address, trampoline });
    }
    return onwards;
  }

  /** Where its code lies. */
  codeRegions(mappings: readonly Mapping[]): readonly AddressRange[] {
    const regions = this.regions.filter((region) => region.kind === RegionKind.CODE && this.holds(region, mappings));
    return [this.firstCode, ...regions].map(({ address, size }) => ({ start: address, end: address + BigInt(size) }));
  }

  #entries(): Uint8Array {
    return this.memory.read(this.address + BigInt(SITES_OFFSET), this.#header.siteCount * JournalSite.size);
  }

  /** A copy of what the session's client keeps, `size` bytes from `offset` on. @throws {RangeError} if it has no such place */
  readClient(offset: number, size: number): Uint8Array {
    const { clientOffset, clientSize } = this.#header;
    if (!(offset >= 0 && size >= 0 && offset + size <= clientSize)) {
      throw new RangeError(`${size} bytes at ${offset} are not in memory of ${clientSize}`);
    }
    return this.memory.read(this.address + BigInt(clientOffset + offset), size);
  }

  /** Makes programs go quiet, and says that the session is over: to its controller, if there is one, and to who comes later. */
  close(): void {
    const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
    this.memory.write(this.#leaseAddress, word(HOLDER_DIED));
    this.memory.write(this.address + BigInt(JournalHeader.offsetOf.state), word(JournalState.CLOSED));
  }

  get #leaseAddress(): bigint {
    return this.address + this.#header.sharedSize - BigInt(ROBUST_WORD_FROM_END);
  }

  /** Where code may be mapped that is not ours. */
  isTargetCode(address: bigint): boolean {
    const mapping = mappingAt(this.#mappings, address);
    return mapping !== undefined && mapping.permissions[2] === 'x' && mapping.path !== '[vsyscall]';
  }

  #unknown(why: string): InjectError {
    const where = `at 0x${this.address.toString(16)}`;
    return new InjectError('INJECT_UNKNOWN_JOURNAL', `cannot read the session ${where}: ${why}`, {
      fix: 'use the version of remora that began it',
    });
  }
}

/** A session that is there, or why it cannot be understood. */
export type JournalFinding = FoundJournal | InjectError;

/** Every session in a process: found by the name of its memory file. @throws {SysError} if the memory cannot be read */
export function findJournals(mappings: readonly Mapping[], memory: ProcessMemory): readonly JournalFinding[] {
  return mappings
    .filter(({ path, permissions, offset }) => path === MEMORY_FILE && permissions === 'rw-s' && offset === 0)
    .map(({ start }) => {
      try {
        return new FoundJournal(start, mappings, memory);
      } catch (error) {
        if (error instanceof InjectError) return error;
        throw error;
      }
    });
}
