/**
 * Evaluates IR in JavaScript, one value at a time: the oracle for passes, helpers and map types where no machine code
 * is wanted. Atomic operations are plain ones: it is one thread. Fresh stack is filled with a pattern, so that reading
 * what nobody wrote shows.
 */
import { viewOf } from '../../src/bytes/struct.ts';
import { evaluateBinary, evaluateCompare, evaluateUnary } from '../../src/ir/arithmetic.ts';
import type { AtomicOperator, Block, IrFunction, Operation, SiteSource, Size, Value } from '../../src/ir/value.ts';

/** Memory the IR may touch; `view` throws for what is not mapped. */
export interface EvaluatorMemory {
  view(address: bigint, size: number): Uint8Array;
}

/** Everything a function may ask of its surroundings; what is left out throws when asked for. */
export interface EvaluatorWorld {
  /** The function's params. */
  readonly args?: readonly bigint[];
  readonly memory?: EvaluatorMemory;
  readonly site?: (source: SiteSource) => bigint;
  readonly siteStore?: (register: number, value: bigint) => void;
  /** `memory` is what the function sees, its stack included. */
  readonly syscall?: (number: number, args: readonly bigint[], memory: EvaluatorMemory) => bigint;
  readonly callAddress?: (address: bigint, args: readonly bigint[], memory: EvaluatorMemory) => bigint;
  /** fs:0; `threadLoad` reads `memory` at this plus its offset. */
  readonly threadPointer?: bigint;
  readonly cpuNumber?: bigint;
  readonly timestamp?: () => bigint;
  /** Called before each value is evaluated: a signal handler may run here, or the thread be killed by throwing. */
  readonly before?: (value: Value) => void;
  /** Values and blocks evaluated before it is called a hang; 1,000,000 unless given. */
  readonly stepLimit?: number;
}

/** Runs `fn` to its return. @throws Error for unmapped memory, undefined divisions and what `world` does not offer */
export function evaluate(fn: IrFunction, world: EvaluatorWorld = {}): bigint {
  return new Evaluator(world).run(fn, world.args ?? []);
}

/** Memory of several regions at fixed addresses. */
export function regions(...list: readonly { readonly address: bigint; readonly bytes: Uint8Array }[]): EvaluatorMemory {
  return {
    view(address, size) {
      for (const region of list) {
        const at = Number(address - region.address);
        if (at >= 0 && at + size <= region.bytes.length) return region.bytes.subarray(at, at + size);
      }
      throw new Error(`cannot access ${size} bytes at 0x${address.toString(16)}: not mapped`);
    },
  };
}

const STACK_ADDRESS = 0x7ffd_0000_0000n;
const STACK_SIZE = 0x10000;
const STACK_PATTERN = 0xa5;

class Evaluator {
  readonly #world: EvaluatorWorld;
  readonly #stack = new Uint8Array(STACK_SIZE);
  readonly #memory: EvaluatorMemory = { view: (address, size) => this.#view(address, size) };
  #stackUsed = 0;
  #steps: number;

  constructor(world: EvaluatorWorld) {
    this.#world = world;
    this.#steps = world.stepLimit ?? 1_000_000;
  }

  run(fn: IrFunction, args: readonly bigint[]): bigint {
    if (args.length !== fn.paramCount) throw new Error(`${fn.name} takes ${fn.paramCount} arguments`);
    const frameStart = this.#stackUsed;
    const frame: Frame = { fn, args, values: [], stacks: new Map() };
    let block = fn.blocks[0]!;
    let from: Block | undefined;
    for (;;) {
      if (--this.#steps < 0) throw new Error(`${fn.name} does not end`);
      this.#enter(frame, block, from);
      const end = block.terminator;
      if (end === undefined) throw new Error(`block ${block.id} of ${fn.name} has no terminator`);
      if (end.op === 'return') {
        this.#stackUsed = frameStart;
        return read(frame, end.value);
      }
      from = block;
      if (end.op === 'jump') block = end.target;
      else block = read(frame, end.condition) === 0n ? end.otherwise : end.then;
    }
  }

  #enter(frame: Frame, block: Block, from: Block | undefined): void {
    const phis = block.values.filter((value) => value.operation.op === 'phi');
    if (from !== undefined && phis.length > 0) {
      const edge = block.predecessors.indexOf(from);
      const incoming = phis.map((phi) => read(frame, phi.args[edge]!));
      phis.forEach((phi, index) => {
        frame.values[phi.id] = incoming[index];
      });
    }
    for (const value of block.values.slice(phis.length)) {
      if (--this.#steps < 0) throw new Error(`${frame.fn.name} does not end`);
      this.#world.before?.(value);
      const result = this.#evaluate(frame, value);
      if (result !== undefined) frame.values[value.id] = BigInt.asUintN(64, result);
    }
  }

  #evaluate(frame: Frame, value: Value): bigint | undefined {
    const { operation } = value;
    const args = value.args.map((arg) => read(frame, arg));
    const [a = 0n, b = 0n, c = 0n] = args;
    switch (operation.op) {
      case 'const':
        return operation.value;
      case 'param':
        return frame.args[operation.index]!;
      case 'bounded':
        return a;
      case 'siteStore':
        offered(this.#world.siteStore, operation)(operation.register, a);
        return undefined;
      case 'site':
        return offered(this.#world.site, operation)(operation.source);
      case 'stack':
        return this.#allocate(frame, value, operation.size);
      case 'phi':
        throw new Error(`phi v${value.id} stands behind other values`);
      case 'binary': {
        const result = evaluateBinary(operation.operator, operation.width, a, b);
        if (result === undefined) throw new Error(`${operation.operator} ${a}, ${b} is undefined`);
        return result;
      }
      case 'unary':
        return evaluateUnary(operation.operator, operation.width, a);
      case 'compare':
        return evaluateCompare(operation.condition, operation.width, a, b) ? 1n : 0n;
      case 'select':
        return a === 0n ? c : b;
      case 'load':
        return this.#load(a, operation.offset, operation.size, operation.signed);
      case 'store':
        return this.#store(a, operation.offset, operation.size, b);
      case 'atomic': {
        const old = this.#load(a, operation.offset, operation.size);
        this.#store(a, operation.offset, operation.size, ATOMIC[operation.operator](old, b));
        return operation.fetch ? old : undefined;
      }
      case 'increment':
        return this.#store(a, operation.offset, 8, this.#load(a, operation.offset, 8) + 1n);
      case 'cmpxchg': {
        const old = this.#load(a, operation.offset, operation.size);
        if (old === BigInt.asUintN(8 * operation.size, b)) this.#store(a, operation.offset, operation.size, c);
        return old;
      }
      case 'cmpxchg16':
        return this.#exchange16(operation.offset, args);
      case 'call':
        return this.run(operation.callee, args);
      case 'callAddress':
        return offered(this.#world.callAddress, operation)(operation.address, args, this.#memory);
      case 'syscall':
        return offered(this.#world.syscall, operation)(operation.number, args, this.#memory);
      case 'threadPointer':
        return offered(this.#world.threadPointer, operation);
      case 'threadLoad':
        return this.#load(offered(this.#world.threadPointer, operation), operation.offset, operation.size);
      case 'cpuNumber':
        return offered(this.#world.cpuNumber, operation);
      case 'timestamp':
        return offered(this.#world.timestamp, operation)();
    }
  }

  /** A stack value keeps its place however often it is evaluated. */
  #allocate(frame: Frame, value: Value, size: number): bigint {
    const known = frame.stacks.get(value);
    if (known !== undefined) return known;
    const at = Math.ceil(this.#stackUsed / 16) * 16;
    this.#stackUsed = at + size;
    if (this.#stackUsed > STACK_SIZE) throw new Error('the stack of the evaluator is full');
    this.#stack.fill(STACK_PATTERN, at, at + size);
    const address = STACK_ADDRESS + BigInt(at);
    frame.stacks.set(value, address);
    return address;
  }

  #view(address: bigint, size: number): Uint8Array {
    const at = Number(address - STACK_ADDRESS);
    if (at >= 0 && at + size <= this.#stackUsed) return this.#stack.subarray(at, at + size);
    if (this.#world.memory === undefined) throw new Error(`no memory at 0x${address.toString(16)}`);
    return this.#world.memory.view(address, size);
  }

  #bytes(base: bigint, offset: number, size: number): DataView {
    return viewOf(this.#view(BigInt.asUintN(64, base + BigInt(offset)), size));
  }

  #load(base: bigint, offset: number, size: Size, signed = false): bigint {
    const value = LOAD[size](this.#bytes(base, offset, size));
    return signed ? BigInt.asIntN(8 * size, value) : value;
  }

  #store(base: bigint, offset: number, size: Size, value: bigint): undefined {
    STORE[size](this.#bytes(base, offset, size), BigInt.asUintN(8 * size, value));
    return undefined;
  }

  #exchange16(offset: number, args: readonly bigint[]): bigint {
    const [address = 0n, expectedLow, expectedHigh, newLow = 0n, newHigh = 0n] = args;
    if ((address + BigInt(offset)) % 16n !== 0n) throw new Error('cmpxchg16 needs an aligned address');
    if (this.#load(address, offset, 8) !== expectedLow) return 0n;
    if (this.#load(address, offset + 8, 8) !== expectedHigh) return 0n;
    this.#store(address, offset, 8, newLow);
    this.#store(address, offset + 8, 8, newHigh);
    return 1n;
  }
}

/** One call of one function. */
interface Frame {
  readonly fn: IrFunction;
  readonly args: readonly bigint[];
  /** By value id. */
  readonly values: (bigint | undefined)[];
  readonly stacks: Map<Value, bigint>;
}

function read(frame: Frame, value: Value): bigint {
  const number = frame.values[value.id];
  if (number === undefined) throw new Error(`v${value.id} of ${frame.fn.name} is used before it is made`);
  return number;
}

function offered<T>(thing: T | undefined, { op }: Operation): T {
  if (thing === undefined) throw new Error(`the function needs ${op}, which this test does not offer`);
  return thing;
}

const ATOMIC: Readonly<Record<AtomicOperator, (old: bigint, operand: bigint) => bigint>> = {
  add: (old, operand) => old + operand,
  and: (old, operand) => old & operand,
  or: (old, operand) => old | operand,
  xor: (old, operand) => old ^ operand,
  xchg: (_old, operand) => operand,
};

const LOAD: Readonly<Record<Size, (bytes: DataView) => bigint>> = {
  1: (bytes) => BigInt(bytes.getUint8(0)),
  2: (bytes) => BigInt(bytes.getUint16(0, true)),
  4: (bytes) => BigInt(bytes.getUint32(0, true)),
  8: (bytes) => bytes.getBigUint64(0, true),
};

const STORE: Readonly<Record<Size, (bytes: DataView, value: bigint) => void>> = {
  1: (bytes, value) => bytes.setUint8(0, Number(value)),
  2: (bytes, value) => bytes.setUint16(0, Number(value), true),
  4: (bytes, value) => bytes.setUint32(0, Number(value), true),
  8: (bytes, value) => bytes.setBigUint64(0, value, true),
};
