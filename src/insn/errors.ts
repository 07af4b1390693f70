/** Why bytes or text are not eBPF instructions. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error code -> the line the docs print. */
export const INSN_ERRORS = {
  INSN_BAD_LENGTH: 'a program is one or more slots of 8 bytes',
  INSN_UNKNOWN_OPCODE: 'the opcode byte means nothing in RFC 9669',
  INSN_LEGACY: 'packet access (LD_ABS, LD_IND) is of classic BPF and has no meaning outside a socket filter',
  INSN_RESERVED_FIELD: 'a field that the instruction does not use, or whose value selects its variant, is out of line',
  INSN_BAD_REGISTER: 'registers are r0 to r10',
  INSN_TRUNCATED_LDDW: 'the second slot of a 64-bit immediate load is missing',
  INSN_BAD_TARGET: 'a jump or call goes to a place where no instruction begins',
  INSN_UNKNOWN_MNEMONIC: 'the assembler knows no such instruction',
  INSN_BAD_OPERAND: 'the operands do not fit the instruction',
  INSN_OUT_OF_RANGE: 'a number does not fit its field',
  INSN_UNKNOWN_LABEL: 'no line bears this label',
  INSN_DUPLICATE_LABEL: 'two lines bear this label',
} as const;

export type InsnErrorCode = keyof typeof INSN_ERRORS;

/** Bytes or text that are not eBPF instructions. */
export class InsnError extends BpfError {
  override readonly name = 'InsnError';
  override readonly code: InsnErrorCode;

  constructor(code: InsnErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
