/**
 * How long x86-64 instructions are, where direct branches lead, and which instructions do the same anywhere: enough to
 * walk whole libraries at some 100 MB/s. What an instruction does it does not know; iced-x86 decodes where that matters.
 * Source: Intel SDM vol. 2, chapter 2 (instruction format) and appendix A (opcode maps).
 */

/** What an instruction has to do with the place it stands at. */
export const Kind = {
  /** Does the same at any address, and goes on to the next. */
  PLAIN: 0,
  /** As plain, but with an operand that lies relative to the instruction. */
  RELATIVE: 1,
  /** A direct jump or call, conditional or not: `target` says where. */
  BRANCH: 2,
  /** Returns, traps, system calls, indirect jumps and calls. */
  OTHER: 3,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/**
 * The opcode maps, 16 opcodes a line, a letter each:
 *
 *     .  nothing follows         b  imm8          z  imm16 or imm32   e  imm16, imm8   v  imm16, imm32 or imm64
 *     m  ModRM                   M  ModRM, imm8   Z  ModRM, z         o  64-bit address
 *     j  branch by 8 bits        J  branch by 32  p  prefix           r  REX
 *     s  not plain               S  not plain, imm8                   W  not plain, imm16
 *     3  group 3: an immediate for test alone     5  group 5: may call or jump      7  group 7: plain with memory only
 *     c  mov, or xbegin          0  two-byte map, which leads on to   8  0f 38      a  0f 3a
 *     V  VEX or EVEX             -  not in 64-bit mode, unknown, or so rare that iced-x86 may see to it
 */
const ONE_BYTE = letters([
  'mmmmbz--mmmmbz-0',
  'mmmmbz--mmmmbz--',
  'mmmmbzp-mmmmbzp-',
  'mmmmbzp-mmmmbzp-',
  'rrrrrrrrrrrrrrrr',
  '................',
  '--VmppppzZbM....',
  'jjjjjjjjjjjjjjjj',
  'MZ-Mmmmmmmmmmmm-',
  '..........-.....',
  'oooo....bz......',
  'bbbbbbbbvvvvvvvv',
  'MMWsVVMce.WssS-s',
  'mmmm---.mmmmmmmm',
  'jjjjbbbbJJ-j....',
  'pspps.33......m5',
]);

const TWO_BYTE = letters([
  'm7mm-s.s..-s-m--',
  'mmmmmmmmmmmmmmmm',
  '--------mmmmmmmm',
  '....ss--8-a-----',
  'mmmmmmmmmmmmmmmm',
  'mmmmmmmmmmmmmmmm',
  'mmmmmmmmmmmmmmmm',
  'MMMMmmm.----mmmm',
  'JJJJJJJJJJJJJJJJ',
  'mmmmmmmmmmmmmmmm',
  '...mMm--..-mMmmm',
  'mmmmmmmmm-Mmmmmm',
  'mmMmMMMm........',
  'mmmmmmmmmmmmmmmm',
  'mmmmmmmmmmmmmmmm',
  'mmmmmmmmmmmmmmm-',
]);

/** The letters, as they stand in the tables. */
const Form = {
  NOTHING: 0x2e, // .
  MODRM: 0x6d, // m
  MODRM_IMM8: 0x4d, // M
  IMM: 0x7a, // z
  MODRM_IMM: 0x5a, // Z
  IMM8: 0x62, // b
  IMM_UP_TO_64: 0x76, // v
  ADDRESS: 0x6f, // o
  ENTER: 0x65, // e
  BRANCH8: 0x6a, // j
  BRANCH32: 0x4a, // J
  SPECIAL: 0x73, // s
  SPECIAL_IMM8: 0x53, // S
  SPECIAL_IMM16: 0x57, // W
  GROUP3: 0x33, // 3
  GROUP5: 0x35, // 5
  GROUP7: 0x37, // 7
  MOV_OR_XBEGIN: 0x63, // c
  PREFIX: 0x70, // p
  REX: 0x72, // r
  TWO_BYTE: 0x30, // 0
  MAP_0F38: 0x38, // 8
  MAP_0F3A: 0x61, // a
  VECTOR: 0x56, // V
} as const;

/** Map 1 of VEX and EVEX: ModRM everywhere, and an immediate where the two-byte map has one for vectors. */
const VEX_IMM8: ReadonlySet<number> = new Set([0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6]);
const VZEROUPPER = 0x77;

const LONGEST = 15;

/** A cursor over code. What it says of an instruction holds until the next `decode`. */
export class LengthDecoder {
  readonly #code: Uint8Array;
  kind: Kind = Kind.PLAIN;
  /** Where a branch leads, as an offset in the code: may lie outside of it. */
  target = 0;
  #at = 0;
  #isShortOperand = false;
  #isShortAddress = false;
  #isWide = false;

  constructor(code: Uint8Array) {
    this.#code = code;
  }

  /**
   * The length of the instruction at `offset`, or 0 if it is not known: for what is no instruction, is cut off by the end
   * of the code, or is left to iced-x86.
   */
  decode(offset: number): number {
    this.#at = offset;
    this.kind = Kind.PLAIN;
    this.#isShortOperand = false;
    this.#isShortAddress = false;
    this.#isWide = false;
    const isKnown = this.#opcode();
    const length = this.#at - offset;
    return isKnown && length <= LONGEST && this.#at <= this.#code.length ? length : 0;
  }

  #opcode(): boolean {
    const code = this.#code;
    let opcode = code[this.#at++]!;
    let letter = ONE_BYTE[opcode];
    for (; letter === Form.PREFIX; letter = ONE_BYTE[opcode]) {
      if (opcode === 0x66) this.#isShortOperand = true;
      else if (opcode === 0x67) this.#isShortAddress = true;
      opcode = code[this.#at++]!;
    }
    if (letter === Form.REX) {
      this.#isWide = (opcode & 8) !== 0;
      opcode = code[this.#at++]!;
      letter = ONE_BYTE[opcode];
    }
    if (letter !== Form.TWO_BYTE) return letter === Form.VECTOR ? this.#vector(opcode) : this.#operands(letter);
    letter = TWO_BYTE[code[this.#at++]!];
    if (letter === Form.MAP_0F38 || letter === Form.MAP_0F3A) {
      this.#at++;
      this.#modRM();
      if (letter === Form.MAP_0F3A) this.#at++;
      return true;
    }
    return this.#operands(letter);
  }

  /** VEX: c5 and one byte, c4 and two; EVEX: 62 and three. The low bits of the byte behind c4 and 62 choose the map. */
  #vector(prefix: number): boolean {
    const code = this.#code;
    const map = prefix === 0xc5 ? 1 : code[this.#at]! & (prefix === 0xc4 ? 31 : 7);
    this.#at += prefix === 0xc5 ? 1 : prefix === 0xc4 ? 2 : 3;
    const opcode = code[this.#at++]!;
    const isOfEvex = map === 5 || map === 6;
    if (map < 1 || (map > 3 && !(isOfEvex && prefix === 0x62))) return false;
    if (map === 1 && opcode === VZEROUPPER && prefix !== 0x62) return true;
    this.#modRM();
    if (map === 3 || (map === 1 && VEX_IMM8.has(opcode))) this.#at++;
    return true;
  }

  #operands(letter: number | undefined): boolean {
    switch (letter) {
      case Form.NOTHING:
        return true;
      case Form.MODRM:
        return this.#modRM();
      case Form.MODRM_IMM8:
        this.#modRM();
        this.#at++;
        return true;
      case Form.MODRM_IMM:
        this.#modRM();
        this.#immediate();
        return true;
      case Form.IMM8:
        this.#at++;
        return true;
      case Form.IMM:
        this.#immediate();
        return true;
      case Form.IMM_UP_TO_64:
        if (this.#isWide) this.#at += 8;
        else this.#immediate();
        return true;
      case Form.ADDRESS:
        this.#at += 8;
        return !this.#isShortAddress;
      case Form.ENTER:
        this.#at += 3;
        return true;
      case Form.BRANCH8:
        this.#at++;
        this.#branch((this.#code[this.#at - 1]! << 24) >> 24);
        return true;
      case Form.BRANCH32:
        return this.#longBranch();
      case Form.SPECIAL:
      case Form.SPECIAL_IMM8:
      case Form.SPECIAL_IMM16:
        this.kind = Kind.OTHER;
        this.#at += letter === Form.SPECIAL ? 0 : letter === Form.SPECIAL_IMM8 ? 1 : 2;
        return true;
      case Form.GROUP3:
        return this.#group3();
      case Form.GROUP5:
        return this.#group5();
      case Form.GROUP7:
        if (this.#code[this.#at]! >> 6 === 3) this.kind = Kind.OTHER;
        return this.#modRM();
      case Form.MOV_OR_XBEGIN:
        if (this.#code[this.#at] === 0xf8) this.kind = Kind.OTHER;
        this.#modRM();
        this.#immediate();
        return this.kind !== Kind.OTHER;
      default:
        return false;
    }
  }

  /** Processors disagree on a branch with an operand-size prefix. */
  #longBranch(): boolean {
    const { length } = this.#code;
    this.#at += 4;
    if (this.#at > length || (this.#isShortOperand && !this.#isWide)) return false;
    const code = this.#code;
    const at = this.#at;
    this.#branch(code[at - 4]! | (code[at - 3]! << 8) | (code[at - 2]! << 16) | (code[at - 1]! << 24));
    return true;
  }

  /** f6 and f7: only test, reg 0 and 1, has an immediate. */
  #group3(): boolean {
    const isByte = this.#code[this.#at - 1] === 0xf6;
    const isTest = ((this.#code[this.#at]! >> 3) & 7) < 2;
    this.#modRM();
    if (isTest && isByte) this.#at++;
    else if (isTest) this.#immediate();
    return true;
  }

  /** ff: inc, dec, call, call far, jmp, jmp far, push. */
  #group5(): boolean {
    const operation = (this.#code[this.#at]! >> 3) & 7;
    this.#modRM();
    if (operation >= 2 && operation <= 5) this.kind = Kind.OTHER;
    return operation !== 7;
  }

  #branch(distance: number): void {
    this.kind = Kind.BRANCH;
    this.target = this.#at + distance;
  }

  /** By operand size; never 64 bits. */
  #immediate(): void {
    this.#at += this.#isShortOperand && !this.#isWide ? 2 : 4;
  }

  /** ModRM, SIB and displacement. */
  #modRM(): true {
    const modRM = this.#code[this.#at++]!;
    const mode = modRM >> 6;
    const rm = modRM & 7;
    if (mode === 3) return true;
    const isBare = mode === 0 && (rm === 4 ? (this.#code[this.#at]! & 7) === 5 : rm === 5);
    if (rm === 4) this.#at++;
    else if (isBare) this.kind = Kind.RELATIVE;
    if (mode === 1) this.#at++;
    else if (mode === 2 || isBare) this.#at += 4;
    return true;
  }
}

function letters(rows: readonly string[]): Uint8Array {
  return Uint8Array.from(rows.join(''), (letter) => letter.charCodeAt(0));
}
