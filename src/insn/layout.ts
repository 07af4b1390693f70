/** Slots and indexes: a lddw is one instruction in two 8-byte slots, and jumps count slots. */
import { InsnError } from './errors.ts';
import { formOf } from './form.ts';
import type { Insn } from './insn.ts';

/** How many slots an instruction takes: 2 for lddw, 1 for every other. */
export function slotCount(insn: Insn): 1 | 2 {
  return insn.imm64 === undefined ? 1 : 2;
}

/** The same instructions, laid one behind the other from slot 0. Distances of jumps stay as they are. */
export function layOut(insns: readonly Insn[]): Insn[] {
  let slot = 0;
  return insns.map((insn) => {
    const laid = insn.slot === slot ? insn : { ...insn, slot };
    slot += slotCount(insn);
    return laid;
  });
}

/** The slot a jump, branch or local call goes to; undefined for every other instruction. It may lie anywhere. */
export function targetSlot(insn: Insn): number | undefined {
  const { distance } = formOf(insn);
  return distance && insn.slot + 1 + insn[distance];
}

const NOWHERE = -1;

/** From slots to indexes of a laid-out program. */
export class SlotMap {
  /** By slot; NOWHERE inside a lddw. */
  readonly #index: Int32Array;

  constructor(insns: readonly Insn[]) {
    const last = insns.at(-1);
    this.#index = new Int32Array(last === undefined ? 0 : last.slot + slotCount(last)).fill(NOWHERE);
    for (let index = 0; index < insns.length; index++) this.#index[insns[index]!.slot] = index;
  }

  /** The index of the instruction that begins at `slot`; undefined behind the ends and inside a lddw. */
  index(slot: number): number | undefined {
    const index = this.#index[slot];
    return index === NOWHERE ? undefined : index;
  }

  /**
   * The index of the instruction a jump, branch or local call goes to; undefined for every other instruction.
   *
   * @throws {InsnError} INSN_BAD_TARGET if no instruction begins there
   */
  target(insn: Insn): number | undefined {
    const slot = targetSlot(insn);
    if (slot === undefined) return undefined;
    const index = this.index(slot);
    if (index === undefined) {
      throw new InsnError(
        'INSN_BAD_TARGET',
        `cannot follow the jump at slot ${insn.slot}: it goes to slot ${slot}, where no instruction begins`,
      );
    }
    return index;
  }
}
