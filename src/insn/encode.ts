/** Instructions to bytes. RFC 9669, section 3. */
import { viewOf } from '../bytes/struct.ts';
import type { Insn } from './insn.ts';
import { slotCount } from './layout.ts';

const SLOT_SIZE = 8;

/**
 * Encodes instructions one behind the other, as `layOut` lays them.
 *
 * @throws RangeError if a number does not fit its field
 */
export function encode(insns: readonly Insn[]): Uint8Array {
  const slots = insns.reduce((sum, insn) => sum + slotCount(insn), 0);
  const bytes = new Uint8Array(slots * SLOT_SIZE);
  const view = viewOf(bytes);
  let at = 0;
  for (const insn of insns) {
    if ((insn.offset << 16) >> 16 !== insn.offset || (insn.imm | 0) !== insn.imm) {
      throw new RangeError(`offset ${insn.offset} or imm ${insn.imm} does not fit its field`);
    }
    view.setUint8(at, insn.opcode);
    view.setUint8(at + 1, (insn.src << 4) | insn.dst);
    view.setInt16(at + 2, insn.offset, true);
    if (insn.imm64 === undefined) {
      view.setInt32(at + 4, insn.imm, true);
    } else {
      view.setUint32(at + 4, Number(insn.imm64 & 0xffff_ffffn), true);
      view.setUint32(at + 12, Number(insn.imm64 >> 32n), true);
    }
    at += slotCount(insn) * SLOT_SIZE;
  }
  return bytes;
}
