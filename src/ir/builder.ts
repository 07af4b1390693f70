/**
 * Writes IR in the order it runs. Helpers and map types are written against this class, so it reads like the code it
 * makes: values are named by `const`, conditions take closures, loops name their variables.
 *
 * It folds nothing and optimises nothing: the passes do.
 */
import {
  type AtomicOperator,
  type BinaryOperator,
  type Block,
  type Condition,
  IrFunction,
  type Operation,
  type SiteSource,
  type Size,
  type UnaryOperator,
  type Value,
  type Width,
} from './value.ts';

/** How a loop body ends an iteration; each closes the current block. */
export interface Loop {
  /** Starts the next iteration with these values of the loop variables. */
  next(...values: Value[]): void;
  /** Leaves the loop; the values become the loop's results. */
  leave(...results: Value[]): void;
}

export class Builder {
  readonly fn: IrFunction;
  /** Given to every value made from now on: see Value.origin. */
  origin: number | undefined;
  #current: Block | undefined;

  /** Continues `fn`; a function without blocks gets its entry. */
  constructor(fn: IrFunction) {
    this.fn = fn;
    this.#current = fn.blocks.at(-1) ?? fn.block();
  }

  /** Builds a whole function; `body` must return or leave with `b.return` on every path. */
  static function(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction {
    const b = new Builder(new IrFunction(name, paramCount));
    body(b, b.params());
    if (b.#current !== undefined) throw new RangeError(`function ${name} falls off its end`);
    return b.fn;
  }

  /** The block being written. @throws RangeError behind a jump, branch or return */
  get block(): Block {
    if (this.#current === undefined) throw new RangeError('this point is not reached: the block is closed');
    return this.#current;
  }

  /** False behind a jump, branch or return until `at` opens another block. */
  get open(): boolean {
    return this.#current !== undefined;
  }

  /** Continues at the end of `block`. */
  at(block: Block): void {
    this.#current = block;
  }

  newBlock(kind: 'hot' | 'cold' = 'hot'): Block {
    return this.fn.block(kind);
  }

  // --- values ---------------------------------------------------------------------------------------------------

  const(value: bigint | number): Value {
    return this.#make({ op: 'const', value: BigInt.asUintN(64, BigInt(value)) });
  }
  /** All the function's arguments. */
  params(): Value[] {
    return Array.from({ length: this.fn.paramCount }, (_, index) => this.#make({ op: 'param', index }));
  }
  site(source: SiteSource): Value {
    if (source.in === 'stack') return this.load(8, this.site({ in: 'stackPointer', offset: 0 }), source.offset);
    return this.#make({ op: 'site', source });
  }
  /** Changes a register of the site, given by the architecture's number: it goes on with `value`. */
  siteStore(register: number, value: Operand): void {
    this.#make({ op: 'siteStore', register }, [this.#operand(value)]);
  }
  /** The address of `size` fresh bytes of stack, uninitialised. Fixed place: not per loop iteration. */
  stack(size: number): Value {
    return this.#make({ op: 'stack', size });
  }
  /** The same address, of whose memory only `size` bytes will be touched through this value. */
  bounded(address: Value, size: number): Value {
    return this.#make({ op: 'bounded', size }, [address]);
  }
  binary(operator: BinaryOperator, a: Value, b: Operand, width: Width = 64): Value {
    return this.#make({ op: 'binary', operator, width }, [a, this.#operand(b)]);
  }
  unary(operator: UnaryOperator, a: Value, width: Width = 64): Value {
    return this.#make({ op: 'unary', operator, width }, [a]);
  }
  compare(condition: Condition, a: Value, b: Operand, width: Width = 64): Value {
    return this.#make({ op: 'compare', condition, width }, [a, this.#operand(b)]);
  }
  select(condition: Value, then: Operand, otherwise: Operand): Value {
    return this.#make({ op: 'select' }, [condition, this.#operand(then), this.#operand(otherwise)]);
  }
  /** An empty phi at the head of the current block; the caller fills `args`, one per predecessor. */
  phi(): Value {
    const phi = this.fn.value({ op: 'phi' }, [], this.origin);
    const { values } = this.block;
    const end = values.findIndex((value) => value.operation.op !== 'phi');
    values.splice(end < 0 ? values.length : end, 0, phi);
    return phi;
  }

  add(a: Value, b: Operand): Value {
    return this.binary('add', a, b);
  }
  sub(a: Value, b: Operand): Value {
    return this.binary('sub', a, b);
  }
  mul(a: Value, b: Operand): Value {
    return this.binary('mul', a, b);
  }
  and(a: Value, b: Operand): Value {
    return this.binary('and', a, b);
  }
  or(a: Value, b: Operand): Value {
    return this.binary('or', a, b);
  }
  xor(a: Value, b: Operand): Value {
    return this.binary('xor', a, b);
  }
  shl(a: Value, b: Operand): Value {
    return this.binary('shl', a, b);
  }
  shr(a: Value, b: Operand): Value {
    return this.binary('shr', a, b);
  }

  // --- memory ---------------------------------------------------------------------------------------------------

  load(size: Size, address: Value, offset = 0): Value {
    return this.#make({ op: 'load', size, signed: false, offset }, [address]);
  }
  loadSigned(size: Size, address: Value, offset = 0): Value {
    return this.#make({ op: 'load', size, signed: true, offset }, [address]);
  }
  store(size: Size, address: Value, offset: number, value: Operand): void {
    this.#make({ op: 'store', size, offset }, [address, this.#operand(value)]);
  }
  /** Locked read-modify-write; the old value is returned, and thrown away cheaply if nobody uses it. */
  atomic(operator: AtomicOperator, size: 4 | 8, address: Value, offset: number, value: Operand): Value {
    return this.#make({ op: 'atomic', operator, size, offset, fetch: true }, [address, this.#operand(value)]);
  }
  /** Adds 1 to 8 bytes, atomic against signal handlers of this thread but not against other threads. */
  increment(address: Value, offset: number): void {
    this.#make({ op: 'increment', offset }, [address]);
  }
  /** Compares and exchanges; returns the old value: equal to `expected` if it worked. */
  cmpxchg(size: 4 | 8, address: Value, offset: number, expected: Operand, value: Operand): Value {
    return this.#make({ op: 'cmpxchg', size, offset }, [address, this.#operand(expected), this.#operand(value)]);
  }
  /** Compares and exchanges 16 aligned bytes, given as [low, high]; returns 1 if it worked, else 0. */
  cmpxchg16(address: Value, offset: number, expected: readonly [Value, Value], value: readonly [Value, Value]): Value {
    return this.#make({ op: 'cmpxchg16', offset }, [address, ...expected, ...value]);
  }
  /** Copies `size` bytes (a number known now), unrolled in the widest accesses; regions do not overlap. */
  copy(to: Value, toOffset: number, from: Value, fromOffset: number, size: number): void {
    let at = 0;
    for (const width of [8, 4, 2, 1] as const) {
      for (; size - at >= width; at += width) {
        this.store(width, to, toOffset + at, this.load(width, from, fromOffset + at));
      }
    }
  }

  // --- leaving the function ---------------------------------------------------------------------------------------

  call(callee: IrFunction, args: readonly Value[]): Value {
    if (args.length !== callee.paramCount) {
      throw new RangeError(`${callee.name} takes ${callee.paramCount} arguments, given ${args.length}`);
    }
    return this.#make({ op: 'call', callee }, args);
  }
  callAddress(address: bigint, args: readonly Value[]): Value {
    return this.#make({ op: 'callAddress', address }, args);
  }
  syscall(number: number, args: readonly Operand[]): Value {
    return this.#make(
      { op: 'syscall', number },
      args.map((arg) => this.#operand(arg)),
    );
  }
  threadPointer(): Value {
    return this.#make({ op: 'threadPointer' });
  }
  threadLoad(size: Size, offset: number): Value {
    return this.#make({ op: 'threadLoad', size, offset });
  }
  cpuNumber(): Value {
    return this.#make({ op: 'cpuNumber' });
  }
  timestamp(): Value {
    return this.#make({ op: 'timestamp' });
  }

  // --- control ----------------------------------------------------------------------------------------------------

  jump(target: Block): void {
    const from = this.#close();
    from.terminator = { op: 'jump', target };
    target.predecessors.push(from);
  }
  branch(condition: Value, then: Block, otherwise: Block): void {
    if (then === otherwise) throw new RangeError('a branch needs two different targets');
    const from = this.#close();
    from.terminator = { op: 'branch', condition, then, otherwise };
    then.predecessors.push(from);
    otherwise.predecessors.push(from);
  }
  return(value: Operand): void {
    const result = this.#operand(value);
    this.#close().terminator = { op: 'return', value: result };
  }

  /** Runs `body` if `condition` is not zero. `cold`: it rarely is. */
  when(condition: Value, body: () => void, kind: 'hot' | 'cold' = 'hot'): void {
    const then = this.newBlock(kind);
    const after = this.newBlock();
    this.branch(condition, then, after);
    this.at(then);
    body();
    if (this.open) this.jump(after);
    this.at(after);
  }

  /** One value or the other; a side may instead leave the function. */
  choose(condition: Value, then: () => Operand, otherwise: () => Operand, kind: 'hot' | 'cold' = 'hot'): Value {
    const yes = this.newBlock(kind);
    const no = this.newBlock();
    const after = this.newBlock();
    this.branch(condition, yes, no);
    const results: Value[] = [];
    for (const [block, side] of [
      [yes, then],
      [no, otherwise],
    ] as const) {
      this.at(block);
      const result = side();
      if (!this.open) continue;
      results.push(this.#operand(result));
      this.jump(after);
    }
    this.at(after);
    const phi = this.phi();
    phi.args.push(...results);
    return phi;
  }

  /**
   * Repeats `body` with loop variables that start as `initial`; every path of it ends in `loop.next`, `loop.leave` or
   * a return. The results are those of `loop.leave`, `resultCount` of them.
   */
  loop(initial: readonly Value[], resultCount: number, body: (loop: Loop, variables: Value[]) => void): Value[] {
    const head = this.newBlock();
    const after = this.newBlock();
    this.jump(head);
    this.at(head);
    const variables = initial.map((value) => {
      const phi = this.phi();
      phi.args.push(value);
      return phi;
    });
    const results = Array.from({ length: resultCount }, () => this.fn.value({ op: 'phi' }, [], this.origin));
    after.values.push(...results);
    body(
      {
        next: (...values) => {
          variables.forEach((phi, index) => {
            phi.args.push(values[index]!);
          });
          this.jump(head);
        },
        leave: (...values) => {
          results.forEach((phi, index) => {
            phi.args.push(values[index]!);
          });
          this.jump(after);
        },
      },
      variables,
    );
    if (this.open) throw new RangeError('a loop body must end in next, leave or return');
    this.at(after);
    return results;
  }

  #make(operation: Operation, args: readonly Value[] = []): Value {
    const value = this.fn.value(operation, args, this.origin);
    this.block.values.push(value);
    return value;
  }

  #operand(operand: Operand): Value {
    return typeof operand === 'object' ? operand : this.const(operand);
  }

  #close(): Block {
    const block = this.block;
    this.#current = undefined;
    return block;
  }
}

/** A value, or a number that becomes a constant. */
export type Operand = Value | bigint | number;
