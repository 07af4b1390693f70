/**
 * Where the arguments of a static probe are, from the assembler's words to the table that bpf_usdt_arg() reads.
 * Source: struct __bpf_usdt_spec in libbpf's usdt.bpf.h; the words are operands of GNU as for x86-64.
 */
import { PtRegs } from '../../arch/x64/pt-regs.ts';
import { registerName } from '../../arch/x64/registers.ts';
import { struct } from '../../bytes/struct.ts';
import { AttachError } from '../errors.ts';

/** enum __bpf_usdt_arg_type */
const ArgType = { CONST: 0, REG: 1, REG_DEREF: 2 } as const;
/** BPF_USDT_MAX_ARG_CNT */
const MAX_ARGS = 12;
/** Bytes of one argument as bpf_usdt_arg() knows it. */
const SIZES = ['1', '2', '4', '8'];

/** struct __bpf_usdt_arg_spec */
const ArgSpec = struct('__bpf_usdt_arg_spec', 16, {
  valOff: 'u64',
  argType: 'u32',
  regOff: 'u16',
  argSigned: 'u8',
  argBitshift: 'u8',
});

/** struct __bpf_usdt_spec: the arguments, usdt_cookie, arg_cnt. */
const Spec = {
  size: MAX_ARGS * ArgSpec.size + 16,
  cookieAt: MAX_ARGS * ArgSpec.size,
  countAt: MAX_ARGS * ArgSpec.size + 8,
};

/** `pt_regs` offsets by the names that an operand of any size has for a register. */
const REGISTERS: ReadonlyMap<string, number> = new Map(
  (
    ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const
  ).flatMap((field, register) =>
    ([1, 2, 4, 8] as const).map((size) => [registerName(register as 0, size), PtRegs.offsetOf[field]] as const),
  ),
);

/**
 * Lays out the value of `__bpf_usdt_specs` for one probe site.
 *
 * @param args as in the note: `-4@%edi 8@-16(%rbp) 4@$5`
 * @param cookie what bpf_usdt_cookie() gives
 * @throws {AttachError} ATTACH_USDT_ARGUMENT
 */
export function layOutUsdtSpec(args: string, cookie: bigint): Uint8Array {
  const words = args.split(' ').filter((word) => word !== '');
  if (words.length > MAX_ARGS) throw unknown(args, `it has ${words.length} arguments, at most ${MAX_ARGS} are known`);
  const bytes = new Uint8Array(Spec.size);
  words.forEach((word, index) => {
    ArgSpec.write(bytes, index * ArgSpec.size, layOutArgument(word));
  });
  const view = new DataView(bytes.buffer);
  view.setBigUint64(Spec.cookieAt, cookie, true);
  view.setInt16(Spec.countAt, words.length, true);
  return bytes;
}

function layOutArgument(word: string) {
  const match =
    /^(?<sign>-?)(?<size>\d)f?@(?:\$(?<constant>-?\w+)|%(?<register>\w+)|(?<offset>-?\w*)\(%(?<base>\w+)\))$/.exec(
      word,
    );
  const { sign, size = '', constant, register, offset, base } = match?.groups ?? {};
  if (match === null || !SIZES.includes(size))
    throw unknown(word, 'wanted SIZE@%REGISTER, SIZE@$NUMBER or SIZE@N(%REGISTER)');
  const common = { argSigned: sign === '-' ? 1 : 0, argBitshift: 64 - 8 * Number(size), regOff: 0 };
  if (constant !== undefined) return { ...common, argType: ArgType.CONST, valOff: number(constant, word) };
  const regOff = REGISTERS.get(register ?? base ?? '');
  if (regOff === undefined) throw unknown(word, `no register is called ${register ?? base}`);
  if (register !== undefined) return { ...common, regOff, argType: ArgType.REG, valOff: 0n };
  return { ...common, regOff, argType: ArgType.REG_DEREF, valOff: number(offset || '0', word) };
}

function number(text: string, word: string): bigint {
  const digits = /^(-?)(\d+|0x[0-9a-fA-F]+)$/.exec(text);
  if (digits === null) throw unknown(word, `${text} is no number`);
  const magnitude = BigInt(digits[2]!);
  return BigInt.asUintN(64, digits[1] === '-' ? -magnitude : magnitude);
}

function unknown(what: string, why: string): AttachError {
  return new AttachError('ATTACH_USDT_ARGUMENT', `cannot find argument '${what}': ${why}`);
}
