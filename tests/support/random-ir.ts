/**
 * Random IR functions for comparing machine code with the evaluator: valid, ending, and the same for the same seed. They
 * take the address of memory and numbers; what they return and leave there does not depend on the address.
 */
import { Builder } from '../../src/ir/builder.ts';
import type { BinaryOperator, Condition, IrFunction, Size, UnaryOperator, Value, Width } from '../../src/ir/value.ts';
import { Random } from './random-program.ts';

/** Bytes of memory that a function uses. */
export const IR_MEMORY_SIZE = 128;

/** Where a function may call to besides functions of its own. */
export interface RandomIrOptions {
  /** Makes the address, and then each of the numbers, that the function starts from. */
  readonly inputs: (b: Builder) => { readonly memory: Value; readonly numbers: readonly Value[] };
  readonly paramCount: number;
  /** A System V function of two numbers. */
  readonly external: bigint | undefined;
}

export function randomIr(seed: number, size: number, options: RandomIrOptions): IrFunction {
  const random = new Random(seed);
  const callees = Array.from({ length: random.below(3) }, (_, n) =>
    Builder.function(`callee${n}`, 3, (b, [memory, ...numbers]) => {
      new Writer(b, random, memory!, numbers, [], undefined).write(random.between(1, size / 3));
    }),
  );
  return Builder.function(`seed${seed}`, options.paramCount, (b) => {
    const { memory, numbers } = options.inputs(b);
    new Writer(b, random, memory, numbers, callees, options.external).write(size);
  });
}

const BINARY: readonly BinaryOperator[] = ['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shr', 'sar', 'add', 'add'];
const DIVISIONS: readonly BinaryOperator[] = ['udiv', 'umod', 'sdiv', 'smod'];
const UNARY: readonly UnaryOperator[] = [
  ...(['neg', 'zext8', 'zext16', 'zext32', 'sext8', 'sext16', 'sext32', 'bswap16', 'bswap32', 'bswap64'] as const),
];
const CONDITIONS: readonly Condition[] = [
  ...(['eq', 'ne', 'ult', 'ule', 'ugt', 'uge', 'slt', 'sle', 'sgt', 'sge', 'test', 'ntest'] as const),
];
const ENOSYS_CALL = 5000;

class Writer {
  readonly #b: Builder;
  readonly #random: Random;
  readonly #memory: Value;
  readonly #callees: readonly IrFunction[];
  readonly #external: bigint | undefined;
  /** Numbers that may be used here. */
  #pool: Value[];
  #left = 0;
  readonly #choices: readonly (readonly [weight: number, write: () => void])[] = [
    [30, () => this.#keep(this.#binary())],
    [8, () => this.#keep(this.#unary())],
    [6, () => this.#keep(this.#compare())],
    [6, () => this.#keep(this.#b.select(this.#condition(), this.#any(), this.#any()))],
    [3, () => this.#keep(this.#divide())],
    [10, () => this.#keep(this.#load())],
    [8, () => this.#store()],
    [6, () => this.#update()],
    [5, () => this.#atomic()],
    [1, () => this.#increment()],
    [2, () => this.#exchange()],
    [1, () => this.#exchange16()],
    [5, () => this.#branch()],
    [3, () => this.#loop()],
    [3, () => this.#call()],
  ];

  constructor(
    b: Builder,
    random: Random,
    memory: Value,
    numbers: readonly Value[],
    callees: readonly IrFunction[],
    external: bigint | undefined,
  ) {
    this.#b = b;
    this.#random = random;
    this.#memory = memory;
    this.#callees = callees;
    this.#external = external;
    this.#pool = [...numbers, b.const(random.number64())];
  }

  /** Writes the whole body, and returns a number that hangs on everything made. */
  write(size: number): void {
    this.#left = size;
    this.#some(size);
    const sum = this.#pool.slice(-12).reduce((total, value) => this.#b.add(this.#b.mul(total, 31), value));
    this.#b.return(sum);
  }

  #some(count: number): void {
    for (let n = 0; n < count && this.#left > 0; n++) {
      this.#left--;
      this.#random.weighted(this.#choices)();
    }
  }

  #keep(value: Value): void {
    this.#pool.push(value);
  }

  /** Mostly what was made just now, sometimes what was made long ago, sometimes a constant. */
  #any(): Value {
    if (this.#random.chance(0.2)) return this.#b.const(this.#random.number64());
    if (this.#random.chance(0.5)) return this.#random.pick(this.#pool);
    return this.#random.pick(this.#pool.slice(-6));
  }

  #width(): Width {
    return this.#random.pick([32, 64]);
  }

  #binary(): Value {
    return this.#b.binary(this.#random.pick(BINARY), this.#any(), this.#any(), this.#width());
  }

  #unary(): Value {
    const operator = this.#random.pick(UNARY);
    return this.#b.unary(operator, this.#any(), operator === 'bswap64' ? 64 : this.#width());
  }

  #compare(): Value {
    return this.#b.compare(this.#random.pick(CONDITIONS), this.#any(), this.#any(), this.#width());
  }

  #condition(): Value {
    return this.#random.chance(0.7) ? this.#compare() : this.#any();
  }

  /** The dividend loses its sign and the divisor its zero, so that every division is defined. */
  #divide(): Value {
    const width = this.#width();
    const dividend = this.#b.binary('shr', this.#any(), 1, width);
    if (this.#random.chance(0.3)) {
      const divisor = BigInt(this.#random.below(2 ** 31)) >> BigInt(this.#random.below(30));
      return this.#b.binary(this.#random.pick(['udiv', 'umod']), this.#any(), divisor + 2n, width);
    }
    const divisor = this.#b.binary('or', this.#any(), 1, width);
    return this.#b.binary(this.#random.pick(DIVISIONS), dividend, divisor, width);
  }

  /** An address with room for `size` bytes behind it plus the offset, aligned to them. */
  #place(size: number): { address: Value; offset: number } {
    const offset = size * this.#random.below(IR_MEMORY_SIZE / 2 / size);
    if (this.#random.chance(0.5)) return { address: this.#memory, offset };
    if (this.#random.chance(0.3)) return { address: this.#b.add(this.#memory, 64 - size), offset: 0 };
    const index = this.#b.and(this.#any(), 7);
    return { address: this.#b.add(this.#memory, this.#b.shl(index, 3)), offset };
  }

  #size(): Size {
    return this.#random.pick([1, 2, 4, 8]);
  }

  #load(): Value {
    const size = this.#size();
    const { address, offset } = this.#place(size);
    return this.#random.chance(0.3) ? this.#b.loadSigned(size, address, offset) : this.#b.load(size, address, offset);
  }

  #store(): void {
    const size = this.#size();
    const { address, offset } = this.#place(size);
    this.#b.store(size, address, offset, this.#any());
  }

  /** *p = *p op x */
  #update(): void {
    const size = this.#size();
    const { address, offset } = this.#place(size);
    const old = this.#b.load(size, address, offset);
    const changed = this.#b.binary(this.#random.pick(BINARY), old, this.#any(), this.#width());
    if (this.#random.chance(0.2)) this.#keep(changed);
    this.#b.store(size, address, offset, changed);
  }

  #atomic(): void {
    const size = this.#random.pick([4, 8] as const);
    const { address, offset } = this.#place(size);
    const operator = this.#random.pick(['add', 'and', 'or', 'xor', 'xchg'] as const);
    const old = this.#b.atomic(operator, size, address, offset, this.#any());
    if (this.#random.chance(0.5)) this.#keep(old);
  }

  #increment(): void {
    const { address, offset } = this.#place(8);
    this.#b.increment(address, offset);
  }

  #exchange(): void {
    const size = this.#random.pick([4, 8] as const);
    const { address, offset } = this.#place(size);
    const expected = this.#random.chance(0.5) ? this.#b.load(size, address, offset) : this.#any();
    const old = this.#b.cmpxchg(size, address, offset, expected, this.#any());
    if (this.#random.chance(0.4)) this.#keep(old);
    if (this.#random.chance(0.5))
      this.#branch(this.#b.compare(this.#random.pick(['eq', 'ne']), old, expected, this.#width()));
  }

  #exchange16(): void {
    const b = this.#b;
    const place = b.and(b.add(b.stack(32), 15), -16n);
    const words = [this.#any(), this.#any()] as const;
    b.store(8, place, 0, words[0]);
    b.store(8, place, 8, words[1]);
    const expected = this.#random.chance(0.7) ? words : ([this.#any(), this.#any()] as const);
    const done = b.cmpxchg16(place, 0, expected, [this.#any(), this.#any()]);
    if (this.#random.chance(0.5)) this.#branch(done);
    else this.#keep(done);
    this.#keep(b.load(8, place, this.#random.pick([0, 8])));
  }

  #branch(condition = this.#condition()): void {
    const before = this.#pool;
    const side = () => {
      this.#pool = [...before];
      this.#some(this.#random.between(1, 4));
      return this.#any();
    };
    const result = this.#b.choose(condition, side, side, this.#random.pick(['hot', 'cold']));
    this.#pool = before;
    this.#keep(result);
  }

  #loop(): void {
    const before = this.#pool;
    const count = this.#random.between(1, 4);
    const carried = [this.#any(), this.#any()];
    const results = this.#b.loop([this.#b.const(0), ...carried], 2, (loop, [counter, ...variables]) => {
      this.#pool = [...before, ...variables];
      this.#b.when(this.#b.compare('uge', counter!, count), () => loop.leave(this.#any(), this.#any()));
      this.#some(this.#random.between(1, 6));
      loop.next(this.#b.add(counter!, 1), this.#any(), this.#any());
    });
    this.#pool = before;
    for (const result of results) this.#keep(result);
  }

  #call(): void {
    const [a, b] = [this.#any(), this.#any()];
    const callee = this.#random.pick([...this.#callees, undefined]);
    if (callee !== undefined) this.#keep(this.#b.call(callee, [this.#memory, a, b]));
    else if (this.#external !== undefined) this.#keep(this.#b.callAddress(this.#external, [a, b]));
    else this.#keep(this.#b.syscall(ENOSYS_CALL, [a, b]));
  }
}
