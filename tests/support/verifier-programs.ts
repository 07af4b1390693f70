/**
 * Random programs for verifiers: what people write, nearly right. A writer keeps a belief of what each register holds
 * and mostly acts on it, sometimes not; so about half of the programs are to be accepted, and the others fail by little.
 * The same seed gives the same program.
 */
import * as build from '../../src/insn/build.ts';
import type { AccessSize, AluOperator, JumpCondition, Width } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import type { MapSpec } from '../../src/maps/map-type.ts';
import type { ProgramKind } from '../../src/verifier/program-kind.ts';
import { CodeWriter, type Label } from './code-writer.ts';
import { Random } from './random-program.ts';
import type { VerifierSubject } from './verifier-subject.ts';

const { R } = build;
const FP = 10;
const SIZES = [1, 2, 4, 8] as const;
const OPERATORS: readonly AluOperator[] = [
  'add', 'sub', 'mul', 'div', 'sdiv', 'or', 'and', 'lsh', 'rsh', 'mod', 'smod', 'xor', 'arsh', 'mov',
]; // biome-ignore format: a row of words
const CONDITIONS: readonly JumpCondition[] = [
  'jeq', 'jgt', 'jge', 'jset', 'jne', 'jsgt', 'jsge', 'jlt', 'jle', 'jslt', 'jsle',
]; // biome-ignore format: a row of words

const NO_BTF = { keyTypeId: 0, valueTypeId: 0 };
const ARRAY: MapSpec = { name: 'array', type: 2, keySize: 4, valueSize: 48, maxEntries: 4, flags: 0, ...NO_BTF };
const HASH: MapSpec = { name: 'hash', type: 1, keySize: 8, valueSize: 16, maxEntries: 4, flags: 0, ...NO_BTF };
const READ_ONLY: MapSpec = {
  name: 'readOnly',
  type: 2,
  keySize: 4,
  valueSize: 24,
  maxEntries: 2,
  flags: 0x80,
  ...NO_BTF,
};
const RING: MapSpec = { name: 'ring', type: 27, keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0, ...NO_BTF };
const VALUE_MAPS = [ARRAY, HASH, READ_ONLY];

/** The maps that every random program has. */
export const RANDOM_MAPS: readonly MapSpec[] = [...VALUE_MAPS, RING];

/** What a register or a stack slot is believed to hold; undefined: nothing. */
type Belief =
  | { readonly is: 'scalar' }
  | { readonly is: 'context' }
  | { readonly is: 'stack'; readonly offset: number }
  | { readonly is: 'memory'; readonly size: number; readonly orNull: boolean; readonly map: string };

type Beliefs = (Belief | undefined)[];

const SCALAR: Belief = { is: 'scalar' };

/** What makes random programs rich or plain. */
export interface Shape {
  /** About how many statements. */
  readonly size: number;
  /** How often the writer does not care what it believes. */
  readonly carelessness: number;
  /** ring buffers and callbacks: what interpreters may not know. */
  readonly plain: boolean;
}

/** Makes a program. @param seed any 32-bit number */
export function randomSubject(seed: number, shape: Partial<Shape> = {}): VerifierSubject {
  const random = new Random(seed);
  const defaults = { size: random.between(3, 22), carelessness: random.pick([0, 0, 0.01, 0.05]), plain: false };
  const type = random.pick<ProgramKind['name']>(['uprobe', 'uprobe', 'tracepoint', 'raw_tracepoint']);
  const program = new SubjectWriter(random, { ...defaults, ...shape }).write();
  return { program, maps: RANDOM_MAPS, type };
}

/** What a function takes besides a number in r1. */
type Signature = 'scalar' | 'stack' | 'value';

interface Callee {
  readonly label: Label;
  readonly takes: Signature;
  readonly isCallback: boolean;
}

class SubjectWriter {
  readonly #random: Random;
  readonly #code = new CodeWriter();
  readonly #callees: Callee[] = [];
  /** Registers that loops count in. */
  readonly #reserved: number[] = [];
  #registers: Beliefs = [];
  /** By offset from the frame pointer: -8, -16, ... */
  #stack = new Map<number, Belief>();
  #depth = 0;
  #statementsLeft: number;
  #exit: Label = { index: undefined, used: false };
  readonly #choices: readonly (readonly [weight: number, write: () => void])[];

  constructor(random: Random, shape: Shape) {
    this.#random = random;
    this.#statementsLeft = shape.size;
    this.#choices = [
      [16, () => this.#arithmetic()],
      [8, () => this.#number(this.#writable())],
      [10, () => this.#load()],
      [8, () => this.#store()],
      [6, () => this.#spill()],
      [6, () => this.#fill()],
      [10, () => this.#lookup()],
      [14, () => this.#boundedAccess()],
      [10, () => this.#branch()],
      [4, () => this.#loop()],
      [4, () => this.#helper()],
      [3, () => this.#atomic()],
      [3, () => this.#movePointer()],
      [shape.plain ? 0 : 3, () => this.#ring()],
      [3, () => this.#call()],
      [shape.plain ? 0 : 2, () => this.#callback()],
      [1 + 100 * shape.carelessness, () => this.#wild()],
    ];
  }

  write() {
    this.#registers[1] = { is: 'context' };
    this.#registers[FP] = { is: 'stack', offset: 0 };
    if (this.#random.chance(0.7)) this.#move(6, 1);
    this.#body();
    for (const callee of this.#callees) this.#function(callee);
    return this.#code.finish('random');
  }

  #body(): void {
    this.#exit = this.#code.label();
    while (this.#statementsLeft > 0) this.#statement();
    if (this.#random.chance(0.5)) this.#set(0, build.mov(0, 0));
    else if (this.#registers[0]?.is !== 'scalar') this.#set(0, build.mov(0, this.#random.below(2)));
    this.#code.emit(build.exit());
    this.#placeExit(0);
  }

  #placeExit(result: number): void {
    if (!this.#exit.used) return;
    this.#code.place(this.#exit);
    this.#code.emit(build.mov(0, result), build.exit());
  }

  #function({ label, takes, isCallback }: Callee): void {
    this.#code.beginFunction(label);
    this.#registers = [undefined, SCALAR];
    this.#registers[FP] = { is: 'stack', offset: 0 };
    if (takes === 'scalar') this.#registers[2] = SCALAR;
    if (takes === 'stack') this.#registers[2] = { is: 'memory', size: 16, orNull: false, map: '' };
    if (takes === 'value') this.#registers[2] = { is: 'memory', size: ARRAY.valueSize, orNull: false, map: 'array' };
    this.#stack = new Map();
    this.#statementsLeft = this.#random.between(1, 5);
    this.#depth = 2;
    if (!isCallback) {
      this.#body();
      return;
    }
    this.#exit = this.#code.label();
    while (this.#statementsLeft > 0) this.#statement();
    this.#code.emit(build.mov(0, this.#random.below(2)), build.exit());
    this.#placeExit(1);
  }

  #statement(): void {
    this.#statementsLeft--;
    this.#random.weighted(this.#choices)();
  }

  // --- numbers --------------------------------------------------------------------------------------------------

  #number(register: number): void {
    const width = this.#random.pick<Width>([32, 64]);
    this.#random.weighted<() => void>([
      [4, () => this.#set(register, build.alu('mov', register, this.#small(), width))],
      [1, () => this.#set(register, build.alu('mov', register, this.#random.number32(), width))],
      [1, () => this.#set(register, build.lddw(register, this.#random.number64()))],
      [4, () => this.#unknown(register)],
    ])();
  }

  /** A number that the verifier cannot know. */
  #unknown(register: number): void {
    this.#code.emit(build.call(this.#random.pick([5, 7, 8, 14])));
    this.#forget();
    this.#registers[0] = SCALAR;
    if (register !== 0) this.#move(register, 0);
  }

  #arithmetic(): void {
    const random = this.#random;
    const dst = this.#scalar();
    const width = random.pick<Width>([64, 64, 32]);
    random.weighted<() => void>([
      [
        10,
        () => {
          const operator = random.pick(OPERATORS);
          const isShift = ['lsh', 'rsh', 'arsh'].includes(operator);
          const operand = random.chance(0.5) ? R(this.#scalar()) : isShift ? random.below(width) : this.#immediate();
          const isDivision = ['div', 'mod', 'sdiv', 'smod'].includes(operator);
          this.#set(dst, build.alu(operator, dst, isDivision && operand === 0 ? 1 : operand, width));
        },
      ],
      [1, () => this.#set(dst, build.neg(dst, width))],
      [1, () => this.#set(dst, build.movsx(dst, this.#scalar(), random.pick([8, 16]), width))],
      [1, () => this.#set(dst, build.movsx(dst, this.#scalar(), 32))],
      [1, () => this.#set(dst, build.endian(random.pick(['le', 'be', 'swap']), dst, random.pick([16, 32, 64])))],
      [3, () => this.#set(dst, build.mov(dst, R(this.#scalar())))],
    ])();
  }

  /** Writes what makes a number at most `max`, in one of the ways programs do. */
  #bound(register: number, max: number): void {
    const random = this.#random;
    const width = random.pick<Width>([64, 64, 32]);
    const leave = (condition: JumpCondition, from: number, limit: number, bits: Width = width): void =>
      this.#code.jump(build.branch(condition, from, limit, 0, bits), this.#exit);
    const copy = this.#writable();
    if (width === 32 && random.chance(0.8)) this.#code.emit(build.alu('mov', register, R(register), 32));
    random.weighted<() => void>([
      [4, () => this.#code.emit(build.alu('and', register, 2 ** Math.floor(Math.log2(max + 1)) - 1, width))],
      [4, () => leave('jgt', register, max)],
      [2, () => leave('jge', register, max + 1)],
      [1, () => this.#code.emit(build.alu('mod', register, max + 1, width))],
      [
        2,
        () => {
          leave('jsgt', register, max);
          leave('jslt', register, 0);
        },
      ],
      [1, () => this.#code.emit(build.alu('rsh', register, 64 - Math.max(1, Math.floor(Math.log2(max + 1)))))],
      [
        2,
        () => {
          if (copy === register) return leave('jgt', register, max, 64);
          this.#set(copy, build.mov(copy, R(register)));
          leave('jgt', copy, max, 64);
        },
      ],
      [
        1,
        () => {
          const offset = this.#slot();
          this.#code.emit(build.store(8, FP, offset, R(register)));
          this.#stack.set(offset, SCALAR);
          leave('jgt', register, max, 64);
          this.#code.emit(build.load(8, register, FP, offset));
        },
      ],
      [
        1,
        () => {
          if (copy === register) return leave('jgt', register, max, 64);
          this.#set(copy, build.mov(copy, max));
          this.#code.jump(build.branch('jgt', register, R(copy), 0, width), this.#exit);
        },
      ],
    ])();
  }

  // --- memory ---------------------------------------------------------------------------------------------------

  #load(): void {
    const size = this.#random.pick(SIZES);
    const dst = this.#writable();
    const [base, offset] = this.#somewhere(size, 'read');
    const isSigned = size !== 8 && this.#random.chance(0.2);
    this.#set(dst, isSigned ? build.loadSigned(size, dst, base, offset) : build.load(size, dst, base, offset));
  }

  #store(): void {
    const size = this.#random.pick(SIZES);
    const [base, offset] = this.#somewhere(size, 'write');
    const operand = this.#random.chance(0.5) ? this.#immediate() : R(this.#scalar());
    this.#code.emit(build.store(size, base, offset, operand));
    if (base === FP) this.#stack.set(Math.floor(offset / 8) * 8, SCALAR);
  }

  #atomic(): void {
    const size = this.#random.pick([4, 8] as const);
    const [base, at] = this.#somewhere(size, 'write');
    const src = this.#scalar();
    const operator = this.#random.pick(['add', 'or', 'and', 'xor', 'xchg', 'cmpxchg'] as const);
    if (operator === 'cmpxchg') this.#set(0, build.mov(0, 0));
    this.#code.emit(build.atomic(operator, size, base, at, src, this.#random.pick(['fetch', 'none'])));
  }

  #spill(): void {
    const offset = this.#slot();
    const known = this.#known();
    const register = known.length > 0 ? this.#random.pick(known) : this.#scalar();
    const belief = this.#registers[register]!;
    const size = belief.is === 'scalar' ? this.#random.pick<AccessSize>([8, 8, 4, 2, 1]) : 8;
    this.#code.emit(build.store(size, FP, offset, R(register)));
    this.#stack.set(offset, size === 8 ? belief : SCALAR);
  }

  #fill(): void {
    const slots = [...this.#stack.keys()];
    if (slots.length === 0) {
      this.#spill();
      return;
    }
    const offset = this.#random.pick(slots);
    const belief = this.#stack.get(offset)!;
    const dst = this.#writable();
    if (belief.is === 'scalar' && this.#random.chance(0.3)) {
      const size = this.#random.pick(SIZES);
      this.#set(dst, build.load(size, dst, FP, offset + size * this.#random.below(8 / size)));
      return;
    }
    this.#code.emit(build.load(8, dst, FP, offset));
    this.#registers[dst] = belief;
  }

  /** An access at a place that a number chooses, the number bounded before. */
  #boundedAccess(): void {
    const random = this.#random;
    const pointers = this.#pointers().filter((register) => register !== FP);
    const base = random.chance(0.15) || pointers.length === 0 ? FP : random.pick(pointers);
    const size = base === FP ? 1 : random.pick(SIZES);
    const belief = this.#registers[base]!;
    const span = belief.is === 'memory' ? belief.size : 32;
    const index = this.#scalar();
    if (this.#reserved.includes(index)) return;
    const shift = random.pick([0, 0, 0, 1, 2, 3]);
    const room = Math.floor((span - size) >> shift);
    if (room < 1) return;
    const extra = random.below(Math.max(1, room >> 1));
    const slip = random.chance(0.1) ? random.between(-1, 1) : 0;
    this.#bound(index, Math.max(1, room - extra + slip));
    if (shift > 0) this.#code.emit(build.alu('lsh', index, shift));
    const pointer = this.#writable();
    if (pointer === index) return;
    if (base === FP) {
      for (let at = -32; at < 0; at += 8) if (!this.#stack.has(at)) this.#clear(at);
      this.#code.emit(build.mov(pointer, R(FP)), build.add(pointer, -32));
    } else {
      this.#code.emit(build.mov(pointer, R(base)));
    }
    if (random.chance(0.9)) this.#code.emit(build.add(pointer, R(index)));
    else this.#code.emit(build.alu('sub', pointer, R(index)));
    this.#registers[pointer] = undefined;
    const offset = random.chance(0.8) ? 0 : extra << shift;
    if (this.#canWrite(base) && random.chance(0.5))
      this.#code.emit(build.store(size, pointer, offset, this.#immediate()));
    else this.#set(pointer, build.load(size, pointer, pointer, offset));
  }

  #movePointer(): void {
    const dst = this.#writable();
    const from = this.#random.pick(this.#pointers());
    this.#move(dst, from);
    if (this.#random.chance(0.6)) return;
    const by = this.#random.pick([1, 4, 8, -8, 16]);
    this.#code.emit(build.add(dst, by));
    const belief = this.#registers[dst];
    if (belief?.is === 'stack') this.#registers[dst] = { ...belief, offset: belief.offset + by };
    else this.#registers[dst] = undefined;
  }

  #clear(offset: number): void {
    this.#code.emit(build.store(8, FP, offset, 0));
    this.#stack.set(offset, SCALAR);
  }

  // --- helpers --------------------------------------------------------------------------------------------------

  #lookup(): void {
    const map = this.#random.pick(VALUE_MAPS);
    this.#key(map);
    this.#code.emit(build.call(1));
    this.#forget();
    this.#registers[0] = { is: 'memory', size: map.valueSize, orNull: true, map: map.name };
    this.#checkNull(0);
    if (this.#random.chance(0.7))
      this.#move(this.#random.pick([6, 7, 8, 9].filter((register) => this.#free(register))), 0);
    if (this.#random.chance(0.2)) this.#checkNull(0);
  }

  /** r1: the map, r2: a key on the stack. */
  #key(map: MapSpec): void {
    const at = -8 * this.#random.between(1, 6);
    if (this.#random.chance(0.9)) {
      this.#code.emit(
        build.store(map.keySize === 4 && this.#random.chance(0.5) ? 4 : 8, FP, at, this.#random.below(6)),
      );
      this.#stack.set(at, SCALAR);
    }
    this.#code.emit(build.mov(2, R(FP)), build.add(2, at));
    this.#code.loadMap(1, map.name);
  }

  #checkNull(register: number): void {
    const belief = this.#registers[register];
    if (belief?.is !== 'memory' || !this.#random.chance(0.93)) return;
    if (this.#random.chance(0.8)) {
      this.#code.jump(build.branch('jeq', register, 0, 0), this.#exit);
    } else {
      const found = this.#code.label();
      this.#code.jump(build.branch('jne', register, 0, 0), found);
      this.#code.emit(build.mov(0, 0), build.exit());
      this.#code.place(found);
    }
    this.#registers[register] = { ...belief, orNull: false };
  }

  #helper(): void {
    const random = this.#random;
    const at = -8 * random.between(2, 8);
    const size = random.between(1, Math.min(-at, 24));
    random.weighted<() => void>([
      [
        3,
        () => {
          // bpf_probe_read: writes as much as a number says, which may be one that only a test bounds.
          const isVariable = random.chance(0.5);
          const count = this.#scalar();
          if (isVariable && !this.#reserved.includes(count)) {
            this.#bound(count, size);
            this.#code.emit(build.mov(2, R(count)));
          } else {
            this.#code.emit(build.mov(2, size));
          }
          this.#code.emit(build.mov(1, R(FP)), build.add(1, at), build.mov(3, 0));
          this.#code.emit(build.call(random.pick([4, 112, 113])));
        },
      ],
      [1, () => this.#code.emit(build.mov(1, R(FP)), build.add(1, at), build.mov(2, size), build.call(16))],
      [
        2,
        () => {
          const map = random.pick([ARRAY, ARRAY, HASH, HASH, READ_ONLY]);
          this.#key(map);
          for (let slot = -64; slot < -64 + map.valueSize; slot += 8) if (random.chance(0.95)) this.#clear(slot);
          this.#code.emit(build.mov(3, R(FP)), build.add(3, -64), build.mov(4, 0), build.call(2));
        },
      ],
      [
        1,
        () => {
          this.#key(random.pick(VALUE_MAPS));
          this.#code.emit(build.call(3));
        },
      ],
    ])();
    this.#forget();
    this.#registers[0] = SCALAR;
  }

  /** Reserve, write, submit; or something like it. */
  #ring(): void {
    const random = this.#random;
    const kept = [6, 7, 8, 9].find((register) => this.#free(register));
    if (kept === undefined) return;
    const size = random.pick([8, 16, 20]);
    this.#code.loadMap(1, 'ring');
    this.#code.emit(build.mov(2, size), build.mov(3, 0), build.call(131));
    this.#forget();
    this.#move(kept, 0);
    const isNull = this.#code.label();
    this.#code.jump(build.branch('jeq', kept, 0, 0), isNull);
    this.#registers[kept] = { is: 'memory', size, orNull: false, map: '' };
    this.#reserved.push(kept);
    for (let count = random.below(3); count > 0; count--)
      random.pick([() => this.#store(), () => this.#arithmetic()])();
    this.#reserved.pop();
    if (random.chance(0.95)) {
      this.#code.emit(build.mov(1, R(kept)), build.mov(2, 0), build.call(random.pick([132, 133])));
    }
    this.#forget();
    this.#code.place(isNull);
    this.#registers[kept] = undefined;
    this.#registers[0] = undefined;
  }

  // --- control --------------------------------------------------------------------------------------------------

  #branch(): void {
    const insn = this.#condition();
    const otherwise = this.#code.label();
    const registers = [...this.#registers];
    const stack = new Map(this.#stack);
    this.#code.jump(insn, otherwise);
    this.#block();
    if (this.#random.chance(0.4)) {
      const end = this.#code.label();
      this.#code.jump(build.jump(0), end);
      this.#code.place(otherwise);
      const [thenRegisters, thenStack] = [this.#registers, this.#stack];
      this.#registers = registers;
      this.#stack = stack;
      this.#block();
      this.#code.place(end);
      this.#merge(thenRegisters, thenStack);
    } else {
      this.#code.place(otherwise);
      this.#merge(registers, stack);
    }
  }

  #condition(): Insn {
    const condition = this.#random.pick(CONDITIONS);
    const operand = this.#random.chance(0.6) ? this.#immediate() : R(this.#scalar());
    return build.branch(condition, this.#scalar(), operand, 0, this.#random.pick([64, 64, 32]));
  }

  #block(): void {
    if (this.#depth > 2) return;
    // What branches within a loop multiplies.
    const isLoop = this.#reserved.length > 0;
    this.#depth += isLoop ? 2 : 1;
    for (let count = this.#random.between(1, isLoop ? 2 : 3); count > 0; count--) this.#statement();
    this.#depth -= isLoop ? 2 : 1;
  }

  /** What both ways believe. */
  #merge(registers: Beliefs, stack: ReadonlyMap<number, Belief>): void {
    for (let register = 0; register < FP; register++) {
      if (!sameBelief(this.#registers[register], registers[register])) this.#registers[register] = undefined;
    }
    for (const [offset, belief] of [...this.#stack]) {
      if (!sameBelief(belief, stack.get(offset))) this.#stack.delete(offset);
    }
  }

  #loop(): void {
    const random = this.#random;
    const counter = [6, 7, 8, 9].find((register) => this.#free(register));
    if (counter === undefined || this.#depth > 1) return;
    const top = this.#code.label();
    const end = this.#code.label();
    const count = random.pick([2, 2, 3, 3, 4, 5, 9]);
    const width = random.pick<Width>([64, 64, 32]);
    const kind = random.weighted([
      [4, 'up'],
      [2, 'down'],
      [1, 'until unknown'],
      [1, 'may_goto'],
    ] as const);
    this.#set(counter, build.mov(counter, kind === 'down' ? count : 0));
    this.#reserved.push(counter);
    const [registers, stack] = [[...this.#registers], new Map(this.#stack)];
    this.#code.place(top);
    if (kind === 'may_goto') this.#code.jump({ opcode: 0xe5, dst: 0, src: 0, offset: 0, imm: 0, slot: 0 }, end);
    if (kind === 'until unknown') {
      this.#code.emit(build.call(7));
      this.#forget();
      this.#registers[0] = SCALAR;
      this.#code.jump(build.branch('jeq', 0, 0, 0, width), end);
    }
    this.#block();
    if (kind === 'down') {
      this.#code.emit(build.alu('add', counter, -1, width));
      this.#code.jump(build.branch(random.pick(['jne', 'jsgt', 'jgt']), counter, 0, 0, width), top);
    } else if (kind === 'may_goto') {
      // Not counted: what is counted is never the same again, and nothing bounds it.
      this.#code.jump(build.jump(0), top);
    } else {
      this.#code.emit(build.alu('add', counter, 1, width));
      this.#code.jump(build.branch(random.pick(['jlt', 'jne', 'jle', 'jslt']), counter, count, 0, width), top);
    }
    this.#code.place(end);
    this.#reserved.pop();
    this.#merge(registers, stack);
    this.#registers[counter] = SCALAR;
  }

  #call(): void {
    if (this.#depth > 1) return;
    const takes = this.#random.pick<Signature>(['scalar', 'stack', 'value']);
    if (!this.#argument(takes)) return;
    const callee = this.#callee(takes, false);
    this.#code.emit(build.mov(1, this.#small()));
    this.#code.jump(build.callLocal(0), callee);
    this.#forget();
    this.#registers[0] = SCALAR;
  }

  #callback(): void {
    if (this.#depth > 1) return;
    const callee = this.#callee('stack', true);
    this.#clear(-16);
    this.#clear(-8);
    this.#code.emit(build.mov(1, this.#random.pick([1, 10, 1000])), build.mov(3, R(FP)), build.add(3, -16));
    this.#code.emit(build.mov(4, 0));
    this.#code.loadFunction(2, callee);
    this.#code.emit(build.call(181));
    this.#forget();
    this.#registers[0] = SCALAR;
  }

  /** A function that takes that; an old one or a new one. */
  #callee(takes: Signature, isCallback: boolean): Label {
    const known = this.#callees.find((callee) => callee.takes === takes && callee.isCallback === isCallback);
    if (known !== undefined) return known.label;
    const label = this.#code.label();
    this.#callees.push({ label, takes, isCallback });
    return label;
  }

  /** Puts the second argument of a call into r2. */
  #argument(takes: Signature): boolean {
    switch (takes) {
      case 'scalar':
        this.#code.emit(build.mov(2, R(this.#scalar())));
        return true;
      case 'stack':
        this.#clear(-16);
        this.#clear(-8);
        this.#code.emit(build.mov(2, R(FP)), build.add(2, -16));
        return true;
      case 'value': {
        const value = this.#registers.findIndex(
          (belief) => belief?.is === 'memory' && belief.size === ARRAY.valueSize && !belief.orNull,
        );
        if (value >= 0) this.#code.emit(build.mov(2, R(value)));
        return value >= 0;
      }
    }
  }

  /** Something that disregards what is known. */
  #wild(): void {
    const random = this.#random;
    const any = (): number => random.below(FP + 1);
    const offset = random.pick([-520, -512, -16, -8, -1, 0, 1, 4, 8, 15, 16, 40, 41, 48, 160, 168]);
    random.pick<() => void>([
      () => this.#code.emit(build.alu(random.pick(OPERATORS), random.below(FP), R(any()), random.pick([32, 64]))),
      () => this.#code.emit(build.load(random.pick(SIZES), random.below(FP), any(), offset)),
      () => this.#code.emit(build.store(random.pick(SIZES), any(), offset, R(any()))),
      () => this.#code.emit(build.store(random.pick(SIZES), any(), offset, random.number32())),
      () => this.#code.jump(build.branch(random.pick(CONDITIONS), any(), R(any()), 0), this.#exit),
      () => this.#code.emit(build.mov(random.below(FP), R(any()))),
      () => this.#code.emit(build.add(random.below(FP), random.number32())),
      () => this.#code.emit(build.call(random.pick([1, 2, 3, 4, 5, 6, 7, 16, 25, 35, 67, 112, 114, 130, 132, 181]))),
    ])();
  }

  // --- beliefs --------------------------------------------------------------------------------------------------

  #set(register: number, insn: Insn): void {
    this.#code.emit(insn);
    this.#registers[register] = SCALAR;
  }

  #move(dst: number, src: number): void {
    this.#code.emit(build.mov(dst, R(src)));
    this.#registers[dst] = this.#registers[src];
  }

  /** After a call. */
  #forget(): void {
    for (let register = 0; register <= 5; register++) this.#registers[register] = undefined;
  }

  #free(register: number): boolean {
    return !this.#reserved.includes(register);
  }

  #known(): number[] {
    return this.#registers.flatMap((belief, register) => (belief === undefined || register === FP ? [] : [register]));
  }

  #pointers(): number[] {
    return this.#registers.flatMap((belief, register) =>
      belief === undefined || belief.is === 'scalar' || belief.is === 'context' || ('orNull' in belief && belief.orNull)
        ? []
        : [register],
    );
  }

  /** A register that holds a number; one is made if there is none. */
  #scalar(): number {
    const numbers = this.#known().filter((register) => this.#registers[register]!.is === 'scalar');
    const free = numbers.filter((register) => this.#free(register));
    if (free.length > 0) return this.#random.pick(free);
    const register = this.#writable();
    this.#set(register, build.mov(register, this.#small()));
    return register;
  }

  #writable(): number {
    // What pointers there are is worth keeping.
    const free = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((register) => this.#free(register));
    const spare = free.filter((register) => (this.#registers[register]?.is ?? 'scalar') === 'scalar');
    return this.#random.pick(spare.length > 0 && this.#random.chance(0.9) ? spare : free);
  }

  #slot(): number {
    return -8 * this.#random.between(1, 6);
  }

  #canWrite(register: number): boolean {
    const belief = this.#registers[register];
    return belief?.is !== 'memory' || belief.map !== 'readOnly' || this.#random.chance(0.02);
  }

  /** A place that may be accessed: base register and offset. */
  #somewhere(size: AccessSize, access: 'read' | 'write'): readonly [base: number, offset: number] {
    const pointers = this.#pointers().filter((register) => access === 'read' || this.#canWrite(register));
    if (access === 'read') pointers.push(...this.#known().filter((r) => this.#registers[r]!.is === 'context'));
    const base = this.#random.pick(pointers);
    const belief = this.#registers[base]!;
    const slip = this.#random.chance(0.02) ? this.#random.pick([-1, 1, size]) : 0;
    switch (belief.is) {
      case 'context':
        return [base, 8 * this.#random.between(0, 12) + slip];
      case 'memory':
        return [base, size * this.#random.below(Math.floor(belief.size / size)) + slip];
      default: {
        const slots = [...this.#stack.keys()];
        const slot = access === 'read' && slots.length > 0 ? this.#random.pick(slots) : this.#slot();
        if (access === 'read' && slots.length === 0) this.#clear(slot);
        const moved = belief.is === 'stack' ? belief.offset : 0;
        return [base, slot - moved + size * this.#random.below(8 / size) + slip];
      }
    }
  }

  #small(): number {
    return this.#random.between(0, 64);
  }

  #immediate(): number {
    return this.#random.chance(0.7) ? this.#random.between(-8, 64) : this.#random.number32();
  }
}

function sameBelief(a: Belief | undefined, b: Belief | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
