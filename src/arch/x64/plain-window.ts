/**
 * The common case of a window, without iced-x86: the function begins with instructions that do the same anywhere, and
 * nothing in it branches between them. Most functions are such; whatever is not certain is left to window.ts.
 */
import { Kind, LengthDecoder } from './length.ts';
import type { MovedWindow, Window } from './window.ts';

/** endbr64, as a little-endian number. */
const ENDBR64 = 0xfa1e_0ff3 | 0;

/**
 * The window at the start of a function, or undefined if it takes a closer look.
 *
 * @param code the function's bytes, and maybe more
 * @param size how many of them are the function's
 * @param wanted bytes that the window must have at least
 */
export function findPlainWindow(code: Uint8Array, size: number, wanted: number): Window | undefined {
  const decoder = new LengthDecoder(code.subarray(0, size));
  const skip = beginsWithEndbr64(code) ? 4 : 0;
  let end = skip;
  while (end < skip + wanted) {
    const length = decoder.decode(end);
    if (length === 0 || decoder.kind !== Kind.PLAIN) return undefined;
    end += length;
  }
  for (let at = end; at < size && at < code.length; ) {
    const length = decoder.decode(at);
    if (length === 0) return undefined;
    if (decoder.kind === Kind.BRANCH && decoder.target > skip && decoder.target < end) return undefined;
    at += length;
  }
  return { skip, length: end - skip };
}

/** The instructions of a window at another address, or undefined if one of them does not do the same there. */
export function movePlainWindow(code: Uint8Array, from: bigint, to: bigint): MovedWindow | undefined {
  const decoder = new LengthDecoder(code);
  const moves = new Map<bigint, bigint>();
  for (let at = 0; at < code.length; ) {
    const length = decoder.decode(at);
    if (length === 0 || decoder.kind !== Kind.PLAIN) return undefined;
    moves.set(from + BigInt(at), to + BigInt(at));
    at += length;
  }
  return { bytes: code, moves, fallsThrough: true };
}

function beginsWithEndbr64(code: Uint8Array): boolean {
  return code.length >= 4 && new DataView(code.buffer, code.byteOffset).getInt32(0, true) === ENDBR64;
}
