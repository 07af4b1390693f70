/** Random numbers, not for secrets. */
import type { Helper } from './helper.ts';

/** 2^64 divided by the golden ratio, and the multipliers of SplitMix64 (Steele, Lea, Flood 2014). */
const GAMMA = 0x9e37_79b9_7f4a_7c15n;
const MIX = [
  [30, 0xbf58_476d_1ce4_e5b9n],
  [27, 0x94d0_49bb_1331_11ebn],
] as const;

/** u32 bpf_get_prandom_u32(void): SplitMix64 over one state for all threads, so no two of them get the same step */
export const getPrandomU32: Helper = {
  id: 7,
  name: 'bpf_get_prandom_u32',
  args: [],
  returns: 'scalar',
  requires: [],
  run: (world) => BigInt(world.random32() >>> 0),
  emit(b, _args, { facts }) {
    let mixed = b.atomic('add', 8, b.const(facts.randomState), 0, GAMMA);
    for (const [shift, multiplier] of MIX) mixed = b.mul(b.xor(mixed, b.shr(mixed, shift)), multiplier);
    return b.shr(mixed, 32);
  },
};
