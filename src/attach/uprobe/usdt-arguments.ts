/**
 * Where the arguments of a static probe are, as the assembler's words have it: operands of GNU as for x86-64, each behind its size
 * in bytes. What libbpf reads is read here (tools/lib/bpf/usdt.c), and symbols beside it.
 */
import { PtRegs } from '../../arch/x64/pt-regs.ts';
import { registerName } from '../../arch/x64/registers.ts';
import { AttachError } from '../errors.ts';

/** Where one argument is. Registers are given by their offset in pt_regs. */
export type UsdtArgument = {
  /** As in the note. */
  readonly word: string;
  readonly size: 1 | 2 | 4 | 8;
  readonly signed: boolean;
} & (
  | { readonly in: 'constant'; readonly value: bigint }
  | { readonly in: 'register'; readonly register: number }
  | {
      readonly in: 'memory';
      readonly base: number;
      readonly offset: bigint;
      /** `shift`: its factor is 1 << shift. */
      readonly index?: { readonly register: number; readonly shift: number };
    }
);

/** What operands may refer to. Addresses are the target's. */
export interface ProbeSurroundings {
  /** Where the probe is. */
  readonly address: bigint;
  /** The address of a symbol of its binary; undefined if there is none, or more than one. */
  symbol(name: string): bigint | undefined;
}

/** Offsets by the names that an operand has for a register: of each size, and of the second byte of the first four. */
const REGISTERS: ReadonlyMap<string, number> = new Map([
  ...(
    ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const
  ).flatMap((field, register) =>
    ([1, 2, 4, 8] as const).map((size) => [registerName(register as 0, size), PtRegs.offsetOf[field]] as const),
  ),
  ...(['ax', 'cx', 'dx', 'bx'] as const).map((field) => [`${field[0]}h`, PtRegs.offsetOf[field] + 1] as const),
  ['rip', PtRegs.offsetOf.ip],
]);

const SCALES = ['1', '2', '4', '8'];

/**
 * Reads the arguments of one probe.
 *
 * @param text as in the note: `-4@%edi 8@-16(%rbp) 4@$5`
 * @throws {AttachError} ATTACH_USDT_ARGUMENT naming the first that is in no place that is known
 */
export function parseUsdtArguments(text: string, around: ProbeSurroundings): readonly UsdtArgument[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => parseArgument(word, around));
}

function parseArgument(word: string, around: ProbeSurroundings): UsdtArgument {
  const match = /^(?<sign>-?)(?<size>[1248])f?@(?<operand>.+)$/s.exec(word);
  if (match === null) throw unknown(word, 'wanted SIZE@OPERAND, the size 1, 2, 4 or 8');
  const { sign, size, operand = '' } = match.groups!;
  const common = { word, size: Number(size) as 1 | 2 | 4 | 8, signed: sign === '-' };
  if (operand.startsWith('$')) {
    const value = numberOf(operand.slice(1));
    if (value === undefined) throw unknown(word, `${operand.slice(1)} is no number`);
    return { ...common, in: 'constant', value: BigInt.asUintN(64, value) };
  }
  const register = /^%(\w+)$/.exec(operand)?.[1];
  if (register !== undefined) return { ...common, in: 'register', register: registerOf(register, word) };
  return { ...common, in: 'memory', ...parseMemory(operand, word, around) };
}

function parseMemory(operand: string, word: string, around: ProbeSurroundings) {
  const segment = /^%(\w+):/.exec(operand)?.[1];
  if (segment !== undefined)
    throw unknown(word, `it is relative to the segment ${segment}, which no field of pt_regs is`);
  const match = /^(?<displacement>[^()]*)\(%(?<base>\w+)(?:,%(?<index>\w+)(?:,(?<scale>\w+))?)?\)$/.exec(
    operand,
  )?.groups;
  if (match === undefined) throw unknown(word, 'wanted %REGISTER, $NUMBER or DISPLACEMENT(%BASE,%INDEX,SCALE)');
  const { displacement = '', base: baseName = '', index, scale = '1' } = match;
  const narrow = [baseName, index ?? 'rax'].find(
    (name) => registerOf(name, word) >= 0 && !/^r(?:[a-z]{2}|\d+)$/.test(name),
  );
  if (narrow !== undefined) throw unknown(word, `the address is in ${narrow}, wanted a 64-bit register`);
  const base = registerOf(baseName, word);
  let offset = displacementOf(displacement, word, around);
  if (baseName === 'rip') {
    // The assembler's word is the address meant, whatever instruction it would be in; pt_regs has that of the probe.
    if (!/[A-Za-z_.]/.test(displacement.replace(/0x/g, '')))
      throw unknown(word, 'it is relative to an instruction that is not known');
    offset -= around.address;
  }
  const place = { base, offset: BigInt.asUintN(64, offset) };
  if (index === undefined) return place;
  if (!SCALES.includes(scale)) throw unknown(word, `its scale is ${scale}, wanted 1, 2, 4 or 8`);
  if (index === 'rsp' || index === 'rip') throw unknown(word, `${index} cannot be an index`);
  return { ...place, index: { register: registerOf(index, word), shift: SCALES.indexOf(scale) } };
}

/** The sum of numbers and symbols: `-8`, `counter`, `table+16`. */
function displacementOf(text: string, word: string, around: ProbeSurroundings): bigint {
  let sum = 0n;
  for (const [, sign, term] of text.matchAll(/([+-]?)([^+-]+)/g)) {
    const value = numberOf(term!) ?? around.symbol(term!);
    if (value === undefined)
      throw unknown(word, `${term} is no number, and no symbol of the binary that is there once`);
    sum += sign === '-' ? -value : value;
  }
  return sum;
}

function registerOf(name: string, word: string): number {
  const register = REGISTERS.get(name);
  if (register !== undefined) return register;
  const isVector = /^[xyz]?mm\d+$|^k[0-7]$/.test(name);
  throw unknown(
    word,
    isVector ? `${name} is a vector register, which pt_regs does not hold` : `no register is called ${name}`,
  );
}

function numberOf(text: string): bigint | undefined {
  const digits = /^(-?)(\d+|0x[0-9a-fA-F]+)$/.exec(text);
  if (digits === null) return undefined;
  return digits[1] === '-' ? -BigInt(digits[2]!) : BigInt(digits[2]!);
}

function unknown(what: string, why: string): AttachError {
  return new AttachError('ATTACH_USDT_ARGUMENT', `cannot find argument '${what}': ${why}`);
}
