/** `jmp rel8`: what leads from a site without room to padding near it, where a near jump stands. Intel SDM 2A, JMP. */
import { viewOf } from '../../bytes/struct.ts';

/** Bytes of one. */
export const SHORT_JUMP_SIZE = 2;
const OPCODE = 0xeb;

/** A jump at `from`. `to` must be within reach. */
export function shortJump(from: bigint, to: bigint): Uint8Array {
  const bytes = Uint8Array.of(OPCODE, 0);
  viewOf(bytes).setInt8(1, Number(to - from) - SHORT_JUMP_SIZE);
  return bytes;
}

/** Where the jump leads that `bytes`, at `from`, are; undefined if they are none. */
export function shortJumpTarget(from: bigint, bytes: Uint8Array): bigint | undefined {
  if (bytes.length !== SHORT_JUMP_SIZE || bytes[0] !== OPCODE) return undefined;
  return from + BigInt(SHORT_JUMP_SIZE + viewOf(bytes).getInt8(1));
}
