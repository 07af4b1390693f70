/** Bytes to instructions. Refuses what RFC 9669 does not define, reserved fields included, as the kernel does. */
import { viewOf } from '../bytes/struct.ts';
import { InsnError } from './errors.ts';
import { FIELDS, type Form, fits, formsOf } from './form.ts';
import type { Insn } from './insn.ts';
import { Class, JumpCode, Mode, REGISTER_COUNT, SizeCode, Source } from './opcode.ts';

const SLOT_SIZE = 8;
const LDDW = Class.LD | Mode.IMM | SizeCode.DW;
const CALLX = Class.JMP | Source.X | JumpCode.CALL;

/**
 * Decodes a whole program; jump targets are not looked at.
 *
 * @throws {InsnError} INSN_BAD_LENGTH, INSN_UNKNOWN_OPCODE, INSN_LEGACY, INSN_RESERVED_FIELD, INSN_BAD_REGISTER,
 *   INSN_TRUNCATED_LDDW
 */
export function decode(bytes: Uint8Array): Insn[] {
  if (bytes.length === 0 || bytes.length % SLOT_SIZE !== 0) {
    throw new InsnError('INSN_BAD_LENGTH', `cannot decode a program: ${bytes.length} bytes, wanted a multiple of 8`);
  }
  const view = viewOf(bytes);
  const insns: Insn[] = [];
  for (let at = 0; at < bytes.length; at += SLOT_SIZE) {
    const insn = unifyCallx(readSlot(view, at));
    if (insn.opcode === LDDW) {
      insns.push(joinHalves(view, at, insn));
      at += SLOT_SIZE;
    } else {
      checkFields(insn);
      insns.push(insn);
    }
  }
  return insns;
}

function readSlot(view: DataView, at: number): Insn {
  const registers = view.getUint8(at + 1);
  return {
    opcode: view.getUint8(at),
    dst: registers & 0x0f,
    src: registers >> 4,
    offset: view.getInt16(at + 2, true),
    imm: view.getInt32(at + 4, true),
    slot: at / SLOT_SIZE,
  };
}

/** clang up to 18 puts the register of callx into `imm`, later ones and gcc into `dst`; from here on it is in `dst`. */
function unifyCallx(insn: Insn): Insn {
  const old = insn.opcode === CALLX && insn.dst === 0 && insn.imm > 0 && insn.imm < REGISTER_COUNT;
  return old ? { ...insn, dst: insn.imm, imm: 0 } : insn;
}

function joinHalves(view: DataView, at: number, low: Insn): Insn {
  const { operands } = checkFields(low);
  if (at + SLOT_SIZE >= view.byteLength) {
    throw new InsnError('INSN_TRUNCATED_LDDW', `${cannot(low)}: invalid bpf_ld_imm64 insn, its second slot is missing`);
  }
  const high = readSlot(view, at + SLOT_SIZE);
  if (high.opcode !== 0 || high.dst !== 0 || high.src !== 0 || high.offset !== 0) {
    throw new InsnError(
      'INSN_RESERVED_FIELD',
      `${cannot(low)}: invalid bpf_ld_imm64 insn, all but imm of its second slot must be 0`,
    );
  }
  if (high.imm !== 0 && !operands.includes('imm64')) {
    throw new InsnError('INSN_RESERVED_FIELD', `${cannot(low)}: imm of its second slot is ${high.imm}, wanted 0`);
  }
  const imm64 = (BigInt(high.imm >>> 0) << 32n) | BigInt(low.imm >>> 0);
  return { ...low, imm64 };
}

/** Finds the form of an instruction, narrowing by one field after the other so that the one to blame is known. */
function checkFields(insn: Insn): Form {
  let forms = formsOf(insn.opcode);
  if (forms.length === 0) throw unknownOpcode(insn);
  for (const field of FIELDS) {
    const narrowed = forms.filter((form) => fits(form, field, insn));
    if (narrowed.length === 0) {
      const wanted = [...new Set(forms.map((form) => form.fixed[field]))].join(' or ');
      throw new InsnError('INSN_RESERVED_FIELD', `${cannot(insn)}: ${field} is ${insn[field]}, wanted ${wanted}`);
    }
    forms = narrowed;
  }
  for (const register of [insn.dst, insn.src]) {
    if (register >= REGISTER_COUNT)
      throw new InsnError('INSN_BAD_REGISTER', `${cannot(insn)}: R${register} is invalid`);
  }
  return forms[0]!;
}

function unknownOpcode(insn: Insn): InsnError {
  const mode = insn.opcode & 0xe0;
  if ((insn.opcode & 0x07) === Class.LD && (mode === Mode.ABS || mode === Mode.IND)) {
    return new InsnError('INSN_LEGACY', `${cannot(insn)}: it is a packet access of classic BPF (LD_ABS, LD_IND)`, {
      fix: 'read through the context pointer in r1 instead',
    });
  }
  return new InsnError(
    'INSN_UNKNOWN_OPCODE',
    `${cannot(insn)}: unknown opcode ${insn.opcode.toString(16).padStart(2, '0')}`,
  );
}

function cannot(insn: Insn): string {
  return `cannot decode the instruction at slot ${insn.slot}`;
}
