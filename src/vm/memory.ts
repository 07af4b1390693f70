/** The interpreter's memory: regions at addresses of our choosing. What lies between them cannot be touched. */
import { viewOf } from '../bytes/struct.ts';
import type { InterpreterMemory } from '../helpers/helper.ts';
import type { AccessSize } from '../insn/form.ts';
import { VmError } from './errors.ts';

/** Bytes that programs see at an address. Not a copy. */
export interface Region {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Regions that do not overlap. */
export class AddressSpace implements InterpreterMemory {
  readonly #regions: Region[] = [];
  /** Most accesses go where the one before went. */
  #recent: Region | undefined;

  /** Makes `bytes` visible at `address`. */
  map(address: bigint, bytes: Uint8Array): Region {
    const region = { address, bytes, view: viewOf(bytes) };
    this.#regions.push(region);
    return region;
  }

  /** Takes a region away again. */
  unmap(region: Region): void {
    this.#regions.splice(this.#regions.indexOf(region), 1);
    if (region === this.#recent) this.#recent = undefined;
  }

  /** @throws {VmError} VM_BAD_ACCESS */
  view(address: bigint, size: number): Uint8Array {
    if (size === 0) return new Uint8Array(0);
    const region = this.#find(address, size);
    const offset = Number(address - region.address);
    return region.bytes.subarray(offset, offset + size);
  }

  /** Reads an unsigned little-endian number. @throws {VmError} VM_BAD_ACCESS */
  read(address: bigint, size: AccessSize): bigint {
    const region = this.#find(address, size);
    const offset = Number(address - region.address);
    switch (size) {
      case 1:
        return BigInt(region.view.getUint8(offset));
      case 2:
        return BigInt(region.view.getUint16(offset, true));
      case 4:
        return BigInt(region.view.getUint32(offset, true));
      case 8:
        return region.view.getBigUint64(offset, true);
    }
  }

  /** Writes the low bytes of `value`, little-endian. @throws {VmError} VM_BAD_ACCESS */
  write(address: bigint, size: AccessSize, value: bigint): void {
    const region = this.#find(address, size);
    const offset = Number(address - region.address);
    if (size === 8) {
      region.view.setBigUint64(offset, value, true);
      return;
    }
    const low = Number(BigInt.asUintN(32, value));
    if (size === 4) region.view.setUint32(offset, low, true);
    else if (size === 2) region.view.setUint16(offset, low, true);
    else region.view.setUint8(offset, low);
  }

  #find(address: bigint, size: number): Region {
    if (this.#recent !== undefined && contains(this.#recent, address, size)) return this.#recent;
    const region = this.#regions.find((candidate) => contains(candidate, address, size));
    if (region === undefined) {
      throw new VmError('VM_BAD_ACCESS', `${size} bytes at 0x${address.toString(16)} are not the program's`);
    }
    this.#recent = region;
    return region;
  }
}

function contains(region: Region, address: bigint, size: number): boolean {
  const offset = Number(address - region.address);
  return offset >= 0 && offset + size <= region.bytes.length;
}
