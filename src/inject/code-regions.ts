/**
 * Regions of the target for code of ours, each within reach of what it serves. They are append-only, since a thread may be anywhere
 * in them; unused pages take no memory.
 */
import { alignUpAddress } from '../bytes/align.ts';
import type { AddressRange } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { InjectError } from './errors.ts';
import { isInReach } from './gaps.ts';
import { SIGNATURE_SIZE } from './journal.ts';
import { mapCode, type NoteRegion, type Region } from './regions.ts';

/** The first region is of this size, and each further one larger. */
export const CODE_REGION_SIZE = 256 * 1024;
const LARGEST_CODE_REGION = 16 * 1024 * 1024;
const REGION_GROWTH = 4;
const CODE_ALIGNMENT = 16n;
/** Room for code of a batch, at first: most batches are small, and most regions are not. */
const FIRST_STAGE = 4096;

/** Code made for the address it is laid at, and what else its maker wants back. */
export interface Emitted<T> {
  readonly bytes: Uint8Array;
  readonly result: T;
}

/** What is done about each region that is mapped. */
export interface RegionBooks {
  /** Writes down where it is going to be, before it is. */
  readonly note: NoteRegion;
  /** Marks it as ours, once it is there. */
  sign(region: Region): void;
}

interface CodeRegion extends Region {
  used: number;
  /** Code that is written later: all at once. */
  staged: { readonly offset: number; bytes: Uint8Array } | undefined;
}

export class CodeRegions {
  readonly #process: TargetProcess;
  readonly #books: RegionBooks;
  readonly #regions: CodeRegion[] = [];

  constructor(process: TargetProcess, books: RegionBooks) {
    this.#process = process;
    this.#books = books;
  }

  /** Takes a region that is mapped already. */
  add(region: Region): void {
    this.#regions.push({ ...region, used: 0, staged: undefined });
  }

  /** In the order in which they came. */
  get all(): readonly Region[] {
    return this.#regions;
  }

  get ranges(): readonly AddressRange[] {
    return this.#regions.map(({ address, size }) => ({ start: address, end: address + BigInt(size) }));
  }

  /** True if no code was ever laid. */
  get isEmpty(): boolean {
    return this.#regions.every(({ used }) => used === 0);
  }

  /**
   * Lays code where `near` reaches it.
   *
   * @param emit makes the code for the address it will have; may be asked again for another address
   * @param write 'now', or with what else is laid before `writeStaged` is called
   * @throws {InjectError} INJECT_NO_GAP, INJECT_CODE_TOO_LARGE, INJECT_BAD_ANSWER
   */
  lay<T>(
    near: bigint,
    emit: (address: bigint) => Emitted<T>,
    write: 'now' | 'staged',
  ): { readonly origin: bigint; readonly result: T } {
    for (const region of this.#regions.toReversed()) {
      if (!isInReach(near, region.address, region.size)) continue;
      const laid = this.#layInto(region, emit, write);
      if (laid !== undefined) return laid;
    }
    const size = Math.min(CODE_REGION_SIZE * REGION_GROWTH ** this.#regions.length, LARGEST_CODE_REGION);
    const mapped = mapCode(this.#process, near, size, this.#books.note);
    // Ours from here on, to be unmapped with the others; but as long as it is not signed no code is laid there.
    const region: CodeRegion = { ...mapped, used: mapped.size, staged: undefined };
    this.#regions.push(region);
    this.#books.sign(mapped);
    region.used = SIGNATURE_SIZE;
    const laid = this.#layInto(region, emit, write);
    if (laid !== undefined) return laid;
    throw new InjectError('INJECT_CODE_TOO_LARGE', `cannot lay code: it is larger than ${size} bytes`);
  }

  /** Writes what was laid to be written later. */
  writeStaged(): void {
    for (const region of this.#regions) {
      const { staged, address, used } = region;
      if (staged === undefined) continue;
      region.staged = undefined;
      this.#write(address + BigInt(staged.offset), staged.bytes.subarray(0, used - staged.offset));
    }
  }

  /** Knows nothing of them any more. */
  forget(): void {
    this.#regions.length = 0;
  }

  #layInto<T>(region: CodeRegion, emit: (address: bigint) => Emitted<T>, write: 'now' | 'staged') {
    const origin = alignUpAddress(region.address + BigInt(region.used), CODE_ALIGNMENT);
    const offset = Number(origin - region.address);
    if (offset >= region.size) return undefined;
    const { bytes, result } = emit(origin);
    if (offset + bytes.length > region.size) return undefined;
    region.used = offset + bytes.length;
    if (write === 'now') {
      this.#write(origin, bytes);
    } else {
      region.staged ??= { offset, bytes: new Uint8Array(Math.min(FIRST_STAGE, region.size - offset)) };
      const { staged } = region;
      const end = region.used - staged.offset;
      if (end > staged.bytes.length) staged.bytes = enlarged(staged.bytes, 2 * end);
      staged.bytes.set(bytes, offset - staged.offset);
    }
    return { origin, result };
  }

  /** A target that is gone needs no code: what would lead there fails, or is undone. */
  #write(address: bigint, bytes: Uint8Array): void {
    try {
      this.#process.memory.write(address, bytes);
    } catch (error) {
      if (!this.#process.isGone()) throw error;
    }
  }
}

function enlarged(bytes: Uint8Array, size: number): Uint8Array {
  const larger = new Uint8Array(size);
  larger.set(bytes);
  return larger;
}
