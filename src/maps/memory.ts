/**
 * The host's access to map memory: whole words by Atomics, so that a value of up to 8 bytes is never read or written
 * in halves while the target works on it.
 */
import { alignUp } from '../bytes/align.ts';
import { MapError } from './errors.ts';
import type { MapMemory, MapSpec } from './map-type.ts';

/** Views of one map's bytes. @throws RangeError if they do not begin and end at a multiple of 8 in their buffer */
export function mapMemory(bytes: Uint8Array): MapMemory {
  const { buffer, byteOffset, byteLength } = bytes;
  return {
    bytes,
    words: new BigInt64Array(buffer, byteOffset, byteLength / 8),
    halves: new Int32Array(buffer, byteOffset, byteLength / 4),
  };
}

/** A copy of `size` bytes from `offset`, a multiple of 8. */
export function loadBytes({ words }: MapMemory, offset: number, size: number): Uint8Array {
  const copy = new BigInt64Array(Math.ceil(size / 8));
  const first = offset / 8;
  for (let index = 0; index < copy.length; index++) copy[index] = Atomics.load(words, first + index);
  return new Uint8Array(copy.buffer, 0, size);
}

/** Writes `bytes` at `offset`, a multiple of 8; what is left of the last word becomes 0. */
export function storeBytes({ words }: MapMemory, offset: number, bytes: Uint8Array): void {
  const first = offset / 8;
  wordsOf(bytes).forEach((word, index) => {
    Atomics.store(words, first + index, word);
  });
}

/** The bytes as words, the last one filled up with zeros. */
export function wordsOf(bytes: Uint8Array): BigInt64Array {
  const padded = new Uint8Array(alignUp(bytes.length, 8));
  padded.set(bytes);
  return new BigInt64Array(padded.buffer);
}

/** @throws {MapError} MAP_BAD_KEY */
export function requireKey(spec: MapSpec, key: Uint8Array): void {
  if (key.length === spec.keySize) return;
  throw new MapError('MAP_BAD_KEY', `cannot use a key of ${key.length} bytes: ${spec.name} has ${spec.keySize}`);
}

/** @throws {MapError} MAP_BAD_VALUE */
export function requireValue(spec: MapSpec, value: Uint8Array): void {
  if (value.length === spec.valueSize) return;
  throw new MapError(
    'MAP_BAD_VALUE',
    `cannot use a value of ${value.length} bytes: ${spec.name} has ${spec.valueSize}`,
  );
}
