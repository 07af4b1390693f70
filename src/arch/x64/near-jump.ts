/** `jmp rel32`: what leads from a site to its trampoline, and from one trampoline to another. Intel SDM 2A, JMP. */
import { viewOf } from '../../bytes/struct.ts';

/** Bytes of one. */
export const NEAR_JUMP_SIZE = 5;
const OPCODE = 0xe9;

/** A nop of the same size. Intel SDM 2B, NOP. */
export const NEAR_NOP = Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0);

/** A jump at `from`. `to` must be within reach. */
export function nearJump(from: bigint, to: bigint): Uint8Array {
  const bytes = new Uint8Array(NEAR_JUMP_SIZE);
  bytes[0] = OPCODE;
  viewOf(bytes).setInt32(1, Number(to - from) - NEAR_JUMP_SIZE, true);
  return bytes;
}

/** Where the jump leads that `bytes`, at `from`, are; undefined if they are none. */
export function nearJumpTarget(from: bigint, bytes: Uint8Array): bigint | undefined {
  if (bytes.length !== NEAR_JUMP_SIZE || bytes[0] !== OPCODE) return undefined;
  return from + BigInt(NEAR_JUMP_SIZE + viewOf(bytes).getInt32(1, true));
}
