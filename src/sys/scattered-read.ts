/**
 * Reading many places of another process in one call: a few hundred stacks that are read one by one take longer than all else
 * that is done while their threads stand still. Source: process_vm_readv(2).
 */
import { libc, tryLibc, viewOfMemory } from './libc.ts';

/** Bytes of another process. */
export interface MemoryRange {
  readonly address: bigint;
  readonly size: number;
}

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022;
/** struct iovec: address, size. */
const VECTOR = 16;
/** Places that are read in one call at most: IOV_MAX of the kernel. */
export const SCATTERED_COUNT = 1024;
const VECTORS_SIZE = (1 + SCATTERED_COUNT) * VECTOR;
/** What is read in one call at most, in bytes. */
export const SCATTERED_SIZE = 4 * 1024 * 1024;

let scratch: { readonly address: number; readonly buffer: ArrayBuffer } | undefined;

/**
 * Reads all of it, or gives undefined where that cannot be: some of it is not mapped, or such calls are not permitted.
 *
 * @param ranges at most SCATTERED_COUNT, of SCATTERED_SIZE bytes in all
 */
export function readScattered(pid: number, ranges: readonly MemoryRange[]): readonly Uint8Array[] | undefined {
  const total = ranges.reduce((sum, { size }) => sum + size, 0);
  if (ranges.length > SCATTERED_COUNT || total > SCATTERED_SIZE) return undefined;
  scratch ??= makeScratch();
  const { address, buffer } = scratch;
  const vectors = new BigUint64Array(buffer, 0, 2 * (1 + ranges.length));
  vectors.set([BigInt(address + VECTORS_SIZE), BigInt(total)]);
  ranges.forEach((range, n) => {
    vectors[2 * n + 2] = range.address;
    vectors[2 * n + 3] = BigInt(range.size);
  });
  const count = tryLibc('process_vm_readv', pid, address, 1, address + VECTOR, ranges.length, 0);
  if (count !== total) return undefined;
  const bytes = new Uint8Array(buffer, VECTORS_SIZE, total).slice();
  let end = 0;
  return ranges.map(({ size }) => {
    end += size;
    return bytes.subarray(end - size, end);
  });
}

function makeScratch(): { readonly address: number; readonly buffer: ArrayBuffer } {
  const size = VECTORS_SIZE + SCATTERED_SIZE;
  const address = libc('mmap', 'mmap', 0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0);
  return { address, buffer: viewOfMemory(address, size) };
}
