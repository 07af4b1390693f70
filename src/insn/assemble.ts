/**
 * Assembly text to instructions, in the syntax of the bpf_conformance suite (that of uBPF):
 *
 *     lddw %r0, 0x1122334455667788    # a comment
 *     ldxw %r1, [%r10-8]
 *     jeq %r1, 5, done                ; a label, or a count of slots as in +3
 *     lock fetch add [%r10-8], %r1
 *     done: exit
 *
 * The label `exit` need not be written: it is the first exit.
 */
import { InsnError } from './errors.ts';
import { FORMS, type Form, type Operand } from './form.ts';
import type { Insn } from './insn.ts';
import { REGISTER_COUNT } from './opcode.ts';

type Fields = Partial<Record<'dst' | 'src' | 'offset' | 'imm', number>> & { imm64?: bigint };

interface Line {
  /** 1-based. */
  readonly number: number;
  readonly text: string;
}

interface Statement {
  readonly line: Line;
  readonly form: Form;
  readonly operands: readonly string[];
  readonly slot: number;
}

const BY_MNEMONIC: ReadonlyMap<string, readonly Form[]> = new Map(
  FORMS.map(({ mnemonic }) => [mnemonic, FORMS.filter((form) => form.mnemonic === mnemonic)]),
);
const LONGEST_MNEMONIC = 3; // words: lock fetch add

const REGISTER = /^%?r(\d+)$/;
const NUMBER = /^([-+]?)(0x[0-9a-f]+|\d+)$/i;
const MEMORY = /^\[\s*(%?r\d+)\s*(?:([-+])\s*(0x[0-9a-f]+|\d+)\s*)?\]$/i;
const LABEL = /^([A-Za-z_.][\w.]*):\s*/;

/** What an operand must look like to select a form. */
const SHAPES: Readonly<Record<Operand, RegExp>> = {
  dst: REGISTER,
  src: REGISTER,
  imm: NUMBER,
  imm64: NUMBER,
  offset: NUMBER,
  '[dst]': MEMORY,
  '[src]': MEMORY,
  'jump offset': /^[-+]?[\w.]+$/,
  'jump imm': /^[-+]?[\w.]+$/,
};

/**
 * Assembles a program.
 *
 * @throws {InsnError} INSN_UNKNOWN_MNEMONIC, INSN_BAD_OPERAND, INSN_BAD_REGISTER, INSN_OUT_OF_RANGE,
 *   INSN_UNKNOWN_LABEL, INSN_DUPLICATE_LABEL
 */
export function assemble(text: string): Insn[] {
  const { statements, labels } = parse(text);
  return statements.map((statement) => {
    const { form, line, operands, slot } = statement;
    const fields = form.operands.map((operand, index) =>
      READ[operand](operands[index]!, line, (label) => {
        const target = labels.get(label);
        if (target === undefined)
          throw new InsnError('INSN_UNKNOWN_LABEL', `${cannot(line)}: no line is labelled '${label}'`);
        return target - slot - 1;
      }),
    );
    const insn: Insn = Object.assign(
      { opcode: form.opcode, dst: 0, src: 0, offset: 0, imm: 0, slot },
      form.fixed,
      ...fields,
    );
    return form.operation.kind === 'lddw' ? { ...insn, imm64: insn.imm64 ?? BigInt(insn.imm >>> 0) } : insn;
  });
}

function parse(text: string): { statements: Statement[]; labels: Map<string, number> } {
  const statements: Statement[] = [];
  const labels = new Map<string, number>();
  let slot = 0;
  let firstExit: number | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = { number: index + 1, text: raw.replace(/[#;].*/, '').trim() };
    let rest = line.text;
    for (let match = LABEL.exec(rest); match !== null; match = LABEL.exec(rest)) {
      const label = match[1]!;
      if (labels.has(label))
        throw new InsnError('INSN_DUPLICATE_LABEL', `${cannot(line)}: '${label}' labels a line above`);
      labels.set(label, slot);
      rest = rest.slice(match[0].length);
    }
    if (rest === '') continue;
    const statement = { line, slot, ...selectForm(rest, line) };
    statements.push(statement);
    if (statement.form.operation.kind === 'exit') firstExit ??= slot;
    slot += statement.form.operation.kind === 'lddw' ? 2 : 1;
  }
  if (firstExit !== undefined && !labels.has('exit')) labels.set('exit', firstExit);
  return { statements, labels };
}

/** Splits a statement into mnemonic and operands; the operands' shapes choose among the forms of that mnemonic. */
function selectForm(text: string, line: Line): { form: Form; operands: string[] } {
  const words = text.split(/\s+/);
  for (let count = Math.min(LONGEST_MNEMONIC, words.length); count > 0; count--) {
    const forms = BY_MNEMONIC.get(words.slice(0, count).join(' '));
    if (forms === undefined) continue;
    const rest = words.slice(count).join(' ');
    const operands = rest === '' ? [] : rest.split(',').map((operand) => operand.trim());
    const form = forms.find(
      (candidate) =>
        candidate.operands.length === operands.length &&
        candidate.operands.every((operand, index) => SHAPES[operand].test(operands[index]!)),
    );
    if (form !== undefined) return { form, operands };
    const wanted = forms.map((candidate) => candidate.operands.join(', ') || 'none').join(' or ');
    throw new InsnError('INSN_BAD_OPERAND', `${cannot(line)}: operands are ${rest || 'none'}, wanted ${wanted}`);
  }
  throw new InsnError('INSN_UNKNOWN_MNEMONIC', `${cannot(line)}: there is no instruction '${words[0]}'`);
}

const READ: Readonly<Record<Operand, (text: string, line: Line, distance: (label: string) => number) => Fields>> = {
  dst: (text, line) => ({ dst: register(text, line) }),
  src: (text, line) => ({ src: register(text, line) }),
  imm: (text, line) => {
    // Decimal numbers are signed, hexadecimal ones may also be written as the 32 bits they are.
    const high = /x/i.test(text) ? 0xffff_ffffn : 0x7fff_ffffn;
    return { imm: Number(ranged(text, -0x8000_0000n, high, line)) | 0 };
  },
  imm64: (text, line) => {
    const imm64 = BigInt.asUintN(64, ranged(text, -(1n << 63n), (1n << 64n) - 1n, line));
    return { imm64, imm: Number(imm64 & 0xffff_ffffn) | 0 };
  },
  offset: (text, line) => ({ offset: int16(text, line) }),
  '[dst]': (text, line) => {
    const { base, offset } = memory(text, line);
    return { dst: base, offset };
  },
  '[src]': (text, line) => {
    const { base, offset } = memory(text, line);
    return { src: base, offset };
  },
  'jump offset': (text, line, distance) => ({ offset: int16(NUMBER.test(text) ? text : `${distance(text)}`, line) }),
  'jump imm': (text, line, distance) => ({
    imm: Number(ranged(NUMBER.test(text) ? text : `${distance(text)}`, -0x8000_0000n, 0x7fff_ffffn, line)),
  }),
};

function register(text: string, line: Line): number {
  const number = Number(REGISTER.exec(text)![1]);
  if (number >= REGISTER_COUNT) throw new InsnError('INSN_BAD_REGISTER', `${cannot(line)}: R${number} is invalid`);
  return number;
}

function memory(text: string, line: Line): { base: number; offset: number } {
  const [, base, sign = '', digits = '0'] = MEMORY.exec(text)!;
  return { base: register(base!, line), offset: int16(sign + digits, line) };
}

function int16(text: string, line: Line): number {
  return Number(ranged(text, -0x8000n, 0x7fffn, line));
}

function ranged(text: string, low: bigint, high: bigint, line: Line): bigint {
  const [, sign, digits] = NUMBER.exec(text)!;
  const value = sign === '-' ? -BigInt(digits!) : BigInt(digits!);
  if (value < low || value > high) {
    throw new InsnError('INSN_OUT_OF_RANGE', `${cannot(line)}: ${text} does not fit, wanted ${low} to ${high}`);
  }
  return value;
}

function cannot({ number, text }: Line): string {
  return `cannot assemble line ${number} '${text}'`;
}
