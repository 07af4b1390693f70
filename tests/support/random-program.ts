/**
 * Random programs for comparing engines: valid, ending, over the whole instruction set, and the same for the same seed.
 *
 * What they return and leave in memory does not depend on where anything lies: r9 holds the address of the memory, r8
 * an address derived from it or from the frame pointer, and neither is ever an operand or stored. All of r0 to r7 is
 * initialised at every point and holds plain numbers.
 */
import * as build from '../../src/insn/build.ts';
import { FORMS, type Form, formOf, type Operation } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { layOut } from '../../src/insn/layout.ts';

/** A program, and what its memory holds at the start. */
export interface RandomProgram {
  readonly insns: readonly Insn[];
  /** r1 is its address, a multiple of 8, r2 its size. */
  readonly memory: Uint8Array;
}

/** Where a jump or a call goes: an index in the code, known once the label is placed. */
interface Label {
  index: number | undefined;
}

interface CodeLine {
  readonly insn: Insn;
  readonly target: Label | undefined;
}

const { R } = build;
const FRAME_POINTER = 10;
const MEMORY_POINTER = 9;
const POINTER = 8;
/** Registers that hold numbers. */
const DATA = [0, 1, 2, 3, 4, 5, 6, 7] as const;
/** Those of them that outlive a call: loops count in them. */
const KEPT = [6, 7] as const;
const CLOBBERED = [1, 2, 3, 4, 5] as const;

/** The first half is for the program to use, the second gets the registers at the end. */
const MEMORY_SIZE = 128;
const USED_MEMORY = 64;
/** Bytes of stack each function initialises and uses. */
const STACK_WINDOW = 32;
const MAX_FUNCTIONS = 4;
const MAX_NESTING = 3;
const MAX_ITERATIONS = 4;

const INTERESTING_32 = [
  0, 1, -1, 2, 3, 7, 8, 16, 31, 32, 33, 63, 64, 65, 127, 128, -128, -129, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000,
  0x7fff_ffff, -0x8000_0000, -0x7fff_ffff,
] as const;
const INTERESTING_64 = [
  0n,
  1n,
  (1n << 64n) - 1n,
  1n << 63n,
  (1n << 63n) - 1n,
  1n << 31n,
  1n << 32n,
  (1n << 32n) - 1n,
  (1n << 31n) - 1n,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_0000_0000n,
  0x0102_0304_0506_0708n,
] as const;

const ARITHMETIC = formsOfKinds('alu', 'neg', 'movsx', 'endian');
const LOADS = formsOfKinds('load');
const STORES = formsOfKinds('store');
const ATOMICS = formsOfKinds('atomic');
const BRANCHES = formsOfKinds('branch');
const JUMPS = formsOfKinds('jump');
/** Ways to go round again while a counter that was at least 1 and has been stepped down is not 0. */
const LATCHES = BRANCHES.filter(
  ({ mnemonic, operands }) => operands.includes('imm') && /^(jne|jgt|jsgt)/.test(mnemonic),
);

/**
 * Makes a program.
 *
 * @param seed any 32-bit number
 * @param size about how many instructions it has
 */
export function randomProgram(seed: number, size: number): RandomProgram {
  const random = new Random(seed);
  const functions = random.chance(0.3) ? random.between(2, MAX_FUNCTIONS) : 1;
  const code: CodeLine[] = [];
  const entries: Label[] = Array.from({ length: functions }, newLabel);
  for (let index = 0; index < functions; index++) {
    const budget = index === 0 ? size : Math.ceil(size / 4);
    new FunctionWriter(random, code, entries, index).write(budget);
  }
  return { insns: resolve(code), memory: Uint8Array.from({ length: MEMORY_SIZE }, () => random.below(256)) };
}

/** Writes one function behind the code so far. It calls only functions behind it, so nothing recurses. */
class FunctionWriter {
  readonly #random: Random;
  readonly #code: CodeLine[];
  readonly #entries: readonly Label[];
  readonly #index: number;
  /** Offset from the frame pointer of the stack it uses. */
  readonly #stack: number;
  /** Loop counters of the loops around, which nothing else may write. */
  readonly #counters: number[] = [];
  /** Ends of the blocks around, innermost last: where a forward jump may go. */
  readonly #ends: Label[] = [];
  #left = 0;
  readonly #choices: readonly (readonly [weight: number, write: () => void])[] = [
    [50, () => this.#arithmetic()],
    [5, () => this.#emit(this.#number(this.#writable()))],
    [10, () => this.#load()],
    [10, () => this.#store()],
    [6, () => this.#atomic()],
    [4, () => this.#throughPointer()],
    [10, () => this.#conditional()],
    [4, () => this.#loop()],
    [6, () => this.#call()],
  ];

  constructor(random: Random, code: CodeLine[], entries: readonly Label[], index: number) {
    this.#random = random;
    this.#code = code;
    this.#entries = entries;
    this.#index = index;
    // Frames of a chain share 512 bytes; a program of one function may use any of them.
    const deepest = entries.length === 1 ? 512 : 96;
    this.#stack = -8 * random.between(STACK_WINDOW / 8, deepest / 8);
  }

  write(budget: number): void {
    this.#left = budget;
    this.#placeHere(this.#entries[this.#index]!);
    this.#emit(build.mov(MEMORY_POINTER, R(1)));
    // The main function gets a number in r2 alone, the others in all of r2 to r5.
    const given = this.#index === 0 ? [2] : [2, 3, 4, 5];
    for (const register of DATA) if (!given.includes(register)) this.#emit(this.#number(register));
    for (let offset = 0; offset < STACK_WINDOW; offset += 8) {
      this.#emit(build.store(8, FRAME_POINTER, this.#stack + offset, R(this.#data())));
    }
    this.#block(() => {
      while (this.#left > 0) this.#statement();
    });
    if (this.#index === 0) {
      for (const register of DATA) this.#emit(build.store(8, MEMORY_POINTER, USED_MEMORY + 8 * register, R(register)));
    }
    this.#emit(build.exit());
  }

  #statement(): void {
    this.#random.weighted(this.#choices)();
  }

  #arithmetic(): void {
    this.#emitForm(this.#random.pick(ARITHMETIC), { dst: this.#writable(), src: this.#data() });
  }

  #load(): void {
    const form = this.#random.pick(LOADS);
    const [src, offset] = this.#somewhere(sizeOf(form), 1);
    this.#emitForm(form, { dst: this.#writable(), src, offset });
  }

  #store(): void {
    const form = this.#random.pick(STORES);
    const [dst, offset] = this.#somewhere(sizeOf(form), 1);
    this.#emitForm(form, { dst, src: this.#data(), offset });
  }

  /** Aligned: a processor may trap a locked access that crosses a cache line. */
  #atomic(): void {
    const form = this.#random.pick(ATOMICS);
    const [dst, offset] = this.#somewhere(sizeOf(form), sizeOf(form));
    this.#emitForm(form, { dst, src: this.#writable(), offset });
  }

  /** An access through an address that is computed, where the compiler may not know how far it reaches. */
  #throughPointer(): void {
    const onStack = this.#random.chance(0.5);
    this.#emit(build.mov(POINTER, R(onStack ? FRAME_POINTER : MEMORY_POINTER)));
    if (onStack) this.#emit(build.add(POINTER, this.#stack));
    // An index that is not a constant makes the whole frame reachable, and frames of a chain share 512 bytes.
    const reach = STACK_WINDOW / 2;
    if (!onStack || this.#entries.length === 1) {
      const index = this.#writable();
      this.#emit(build.alu('and', index, reach - 1));
      this.#emit(build.add(POINTER, R(index)));
    }
    const form = this.#random.pick([...LOADS, ...STORES]);
    const offset = this.#random.between(0, reach - sizeOf(form));
    if (form.operation.kind === 'load') this.#emitForm(form, { dst: this.#writable(), src: POINTER, offset });
    else this.#emitForm(form, { dst: POINTER, src: this.#data(), offset });
  }

  #conditional(): void {
    const form = this.#random.pick(BRANCHES);
    const registers = { dst: this.#data(), src: this.#data() };
    if (this.#ends.length > MAX_NESTING || this.#random.chance(0.25)) {
      this.#emitForm(form, registers, this.#random.pick(this.#ends));
      return;
    }
    const otherwise = newLabel();
    this.#emitForm(form, registers, otherwise);
    this.#block((end) => {
      this.#statements();
      const ending = this.#random.weighted([
        [5, 'exit'],
        [25, 'leave'],
        [20, 'else'],
        [50, 'go on'],
      ] as const);
      if (ending === 'exit') {
        this.#emit(build.exit());
      } else if (ending === 'leave') {
        this.#emitForm(this.#random.pick(JUMPS), {}, this.#random.pick(this.#ends));
      } else if (ending === 'else') {
        this.#emitForm(this.#random.pick(JUMPS), {}, end);
        this.#placeHere(otherwise);
        this.#statements();
      }
      if (otherwise.index === undefined) this.#placeHere(otherwise);
    });
  }

  #loop(): void {
    const counter = KEPT.find((register) => !this.#counters.includes(register));
    if (counter === undefined || this.#ends.length > MAX_NESTING) return;
    this.#emit(build.mov(counter, this.#random.between(1, MAX_ITERATIONS)));
    this.#counters.push(counter);
    this.#block(() => {
      const top = newLabel();
      this.#placeHere(top);
      this.#statements();
      this.#emit(build.add(counter, -1));
      this.#emitForm(this.#random.pick(LATCHES), { dst: counter, imm: 0 }, top);
    });
    this.#counters.pop();
  }

  #call(): void {
    const callees = this.#entries.slice(this.#index + 1);
    if (callees.length === 0) return;
    this.#emit(build.mov(1, R(MEMORY_POINTER)));
    this.#emit(build.callLocal(0), this.#random.pick(callees));
    for (const register of CLOBBERED) {
      this.#emit(
        this.#random.chance(0.5) ? build.mov(register, R(this.#random.pick([0, ...KEPT]))) : this.#number(register),
      );
    }
  }

  #statements(): void {
    for (let count = this.#random.between(1, 5); count > 0; count--) this.#statement();
  }

  /** Writes a block that jumps in it may leave for its end. */
  #block(body: (end: Label) => void): void {
    const end = newLabel();
    this.#ends.push(end);
    body(end);
    this.#ends.pop();
    this.#placeHere(end);
  }

  /** A place of that size in the stack or the memory: base register and offset. */
  #somewhere(size: number, alignment: number): readonly [base: number, offset: number] {
    const onStack = this.#random.chance(0.5);
    const window = onStack ? STACK_WINDOW : USED_MEMORY;
    const offset = alignment * this.#random.between(0, (window - size) / alignment);
    return onStack ? [FRAME_POINTER, this.#stack + offset] : [MEMORY_POINTER, offset];
  }

  #data(): number {
    return this.#random.pick(DATA);
  }

  #writable(): number {
    return this.#random.pick(DATA.filter((register) => !this.#counters.includes(register)));
  }

  #number(register: number): Insn {
    if (this.#random.chance(0.5)) return build.lddw(register, this.#random.number64());
    return build.alu('mov', register, this.#random.number32(), this.#random.pick([32, 64]));
  }

  #emitForm(form: Form, fields: Partial<Insn>, target?: Label): void {
    const imm = form.operands.includes('imm') ? this.#random.number32() : 0;
    this.#emit({ opcode: form.opcode, dst: 0, src: 0, offset: 0, imm, slot: 0, ...fields, ...form.fixed }, target);
  }

  #emit(insn: Insn, target?: Label): void {
    this.#left--;
    this.#code.push({ insn, target });
  }

  #placeHere(label: Label): void {
    label.index = this.#code.length;
  }
}

/** A small generator of good numbers: Mulberry32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 to 2^32-1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 to limit-1 */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit);
  }

  /** low to high, both included */
  between(low: number, high: number): number {
    return low + this.below(Math.floor(high) - low + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability * 2 ** 32;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    throw new RangeError('nothing to choose from');
  }

  number32(): number {
    return this.chance(0.5) ? this.pick(INTERESTING_32) : this.next() | 0;
  }

  number64(): bigint {
    if (this.chance(0.5)) return this.pick(INTERESTING_64);
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }
}

function newLabel(): Label {
  return { index: undefined };
}

/** Lays the code out and fills in the distances. */
function resolve(code: readonly CodeLine[]): Insn[] {
  const insns = layOut(code.map(({ insn }) => insn));
  return insns.map((insn, index) => {
    const target = code[index]!.target;
    if (target === undefined) return insn;
    const distance = insns[target.index!]!.slot - insn.slot - 1;
    return formOf(insn).operands.includes('jump imm') ? { ...insn, imm: distance } : { ...insn, offset: distance };
  });
}

function formsOfKinds(...kinds: Operation['kind'][]): readonly Form[] {
  return FORMS.filter(({ operation }) => kinds.includes(operation.kind));
}

function sizeOf({ operation }: Form): number {
  return 'size' in operation ? operation.size : 0;
}
