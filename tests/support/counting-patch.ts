/** The patch that counts the calls of `add` in tests/targets/sites.c. */
import type { Injection } from '../../src/inject/injection.ts';
import type { SitePatch } from '../../src/inject/site-patch.ts';

/** push rbp; mov rbp, rsp; lea rax, [rdi+rsi] */
export const ADD_WINDOW = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x04, 0x37);
/** Where its instructions begin, the first one left out. */
const BOUNDARIES = [1n, 4n];

const JUMP_SIZE = 5;

/** jmp rel32 */
export function jump(from: bigint, to: bigint): Uint8Array {
  const bytes = Uint8Array.of(0xe9, 0, 0, 0, 0);
  new DataView(bytes.buffer).setInt32(1, Number(to - from) - JUMP_SIZE, true);
  return bytes;
}

/** Lays a trampoline for `add` at `site` that counts in the u64 at `counter`, and returns the patch that leads there. */
export function countingPatch(injection: Injection, counter: bigint, site: bigint): SitePatch {
  const { origin, result: moves } = injection.layCode(site, (at) => {
    const count = new Uint8Array(14);
    count.set([0x49, 0xbb]); // mov r11, counter
    new DataView(count.buffer).setBigUint64(2, counter, true);
    count.set([0xf0, 0x49, 0xff, 0x03], 10); // lock inc qword [r11]
    const displaced = at + BigInt(count.length);
    const end = displaced + BigInt(ADD_WINDOW.length);
    const bytes = Buffer.concat([count, ADD_WINDOW, jump(end, site + BigInt(ADD_WINDOW.length))]);
    return { bytes, result: new Map(BOUNDARIES.map((offset) => [site + offset, displaced + offset])) };
  });
  return { address: site, original: ADD_WINDOW.subarray(0, JUMP_SIZE), wanted: jump(site, origin), moves };
}
