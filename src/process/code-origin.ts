/**
 * Which byte of which file an address means: what tells that a library is still where it was, though its mapping may have been
 * divided since, and another one may lie at its address by now.
 */
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';

/** A byte of a mapped file. */
export interface CodeOrigin {
  /** As /proc/PID/maps names it. */
  readonly device: string;
  readonly inode: bigint;
  /** From the beginning of the file. */
  readonly offset: bigint;
}

/** What is mapped at `address`, undefined if nothing is. */
export function originAt(mappings: readonly Mapping[], address: bigint): CodeOrigin | undefined {
  const mapping = mappingAt(mappings, address);
  if (mapping === undefined) return undefined;
  const { device, inode, start, offset } = mapping;
  return { device, inode, offset: address - start + BigInt(offset) };
}

/** True if both mean the same byte of the same file. */
export function isSameOrigin(a: CodeOrigin | undefined, b: CodeOrigin | undefined): boolean {
  return a !== undefined && a.device === b?.device && a.inode === b.inode && a.offset === b.offset;
}
