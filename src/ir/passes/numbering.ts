/**
 * Value numbering over the dominator tree: every value is simplified, and computed once where an equal one dominates it.
 * Below a branch its condition is known, and so is what the comparison says about its operands.
 */
import { INVERSE, SWAPPED } from '../conditions.ts';
import { Dominators } from '../dominators.ts';
import type { Block, IrFunction, Operation, Value } from '../value.ts';
import { learn, type Range, Ranges, rangeOf } from './ranges.ts';
import { COMMUTATIVE, constantOf, lowBits, type Simplifier, simplify, truthOf } from './simplify.ts';

/** Simplifies `fn` in place; true if anything but the identity of constants changed. */
export function numberValues(fn: IrFunction): boolean {
  return new Numbering(fn).run();
}

/** Operations that give the same result for the same operands, wherever they stand. */
const PURE: ReadonlySet<Operation['op']> = new Set([
  'param',
  'site',
  'binary',
  'unary',
  'compare',
  'select',
  'threadPointer',
] as const);

/** A range known in the blocks that `block` dominates. */
interface Fact {
  readonly range: Range;
  readonly block: Block;
  /** What was known before, and is again elsewhere. */
  readonly outer: Fact | undefined;
}

class Numbering implements Simplifier {
  readonly #fn: IrFunction;
  readonly #dominators: Dominators;
  readonly #ranges = new Ranges();
  readonly #replacements: (Value | undefined)[] = [];
  readonly #useCounts: number[] = [];
  /** By what it computes: a value, or the number it is known to be, in the blocks that `block` dominates. */
  readonly #equals = new Map<string, { readonly value: Value | bigint; readonly block: Block }>();
  /** What branches say, by value id. */
  readonly #facts: (Fact | undefined)[] = [];
  /** By their numbers; they all stand in the entry, where they are in nobody's way. */
  readonly #constants = new Map<bigint, Value>();
  #block: Block;
  #values: Value[] = [];
  #origin: number | undefined;
  #changed = false;

  constructor(fn: IrFunction) {
    this.#fn = fn;
    this.#block = fn.blocks[0]!;
    this.#dominators = new Dominators(fn);
  }

  run(): boolean {
    const { preorder } = this.#dominators;
    this.#countUses(preorder);
    for (const block of preorder) this.#visit(block);
    this.#fn.blocks[0]!.values.unshift(...this.#constants.values());
    // Operands of phis may come from blocks visited later.
    for (const { values } of preorder) {
      for (const { operation, args } of values) if (operation.op === 'phi') this.#replaceAll(args);
    }
    return this.#changed;
  }

  make(operation: Operation, args: readonly Value[]): Value {
    return this.#settle(this.#fn.value(operation, args, this.#origin));
  }

  range(value: Value): Range {
    return this.#fact(value) ?? this.#ranges.of(value);
  }

  usedOnce(value: Value): boolean {
    return this.#useCounts[value.id] === 1;
  }

  #countUses(blocks: readonly Block[]): void {
    const count = ({ id }: Value) => {
      this.#useCounts[id] = (this.#useCounts[id] ?? 0) + 1;
    };
    for (const { values, terminator } of blocks) {
      for (const { args } of values) for (const arg of args) count(arg);
      if (terminator?.op === 'branch') count(terminator.condition);
      if (terminator?.op === 'return') count(terminator.value);
    }
  }

  #visit(block: Block): void {
    this.#block = block;
    this.#learnFromBranch(block);
    const old = block.values;
    const phis: Value[] = [];
    this.#values = [];
    for (const value of old) {
      this.#origin = value.origin;
      if (value.operation.op === 'phi') {
        if (!this.#visitPhi(value)) phis.push(value);
        continue;
      }
      for (let index = 0; index < value.args.length; index++) value.args[index] = this.#operand(value.args[index]!);
      this.#replace(value, this.#settle(value));
    }
    this.#visitTerminator(block);
    block.values = [...phis, ...this.#values];
  }

  /** True if the phi is one value already. */
  #visitPhi(phi: Value): boolean {
    this.#replaceAll(phi.args);
    const others = phi.args.filter((arg) => arg !== phi);
    const [first] = others;
    if (first === undefined) return false;
    const constant = constantOf(first);
    const same = others.every((arg) => arg === first || (constant !== undefined && constantOf(arg) === constant));
    if (!same) return false;
    this.#changed = true;
    this.#replace(phi, constant === undefined ? first : this.make(first.operation, []));
    return true;
  }

  #visitTerminator({ terminator }: Block): void {
    if (terminator?.op === 'return') terminator.value = this.#operand(terminator.value);
    if (terminator?.op !== 'branch') return;
    const condition = this.#operand(terminator.condition);
    const truth = truthOf(this.range(condition));
    terminator.condition = truth === undefined ? condition : this.make({ op: 'const', value: truth ? 1n : 0n }, []);
  }

  /** The value to use for one whose operands are settled. */
  #settle(value: Value): Value {
    if (value.operation.op === 'const') return this.#constant(value, value.operation.value);
    const simpler = simplify(this, value) ?? this.#simplifyAccess(value);
    if (simpler !== undefined) {
      this.#changed = true;
      return simpler;
    }
    if (!PURE.has(value.operation.op)) {
      this.#values.push(value);
      return value;
    }
    const key = keyOf(value);
    const equal = this.#equals.get(key);
    if (equal !== undefined && this.#dominators.dominates(equal.block, this.#block)) {
      this.#changed = true;
      return typeof equal.value === 'bigint' ? this.make({ op: 'const', value: equal.value }, []) : equal.value;
    }
    this.#equals.set(key, { value, block: this.#block });
    this.#values.push(value);
    // What is known of the operands where a value is made is true of the value everywhere.
    if (value.args.some(({ id }) => this.#facts[id] !== undefined)) {
      this.#ranges.set(
        value,
        rangeOf(
          value.operation,
          value.args.map((arg) => this.range(arg)),
        ),
      );
    }
    return value;
  }

  #constant(value: Value, number: bigint): Value {
    const known = this.#constants.get(number);
    if (known !== undefined) return known;
    this.#constants.set(number, value);
    return value;
  }

  /** Moves constants from an address into the access, and drops what a narrow store would not write. */
  #simplifyAccess(value: Value): Value | undefined {
    const { operation, args } = value;
    if (!isAccess(operation)) return undefined;
    const [address, ...rest] = args as [Value, ...Value[]];
    const inner = address.operation;
    const added =
      inner.op === 'binary' && inner.operator === 'add' && inner.width === 64 && constantOf(address.args[1]!);
    if (typeof added === 'bigint') {
      const offset = BigInt(operation.offset) + BigInt.asIntN(64, added);
      if (BigInt.asIntN(32, offset) === offset) {
        return this.make({ ...operation, offset: Number(offset) }, [address.args[0]!, ...rest]);
      }
    }
    if (operation.op !== 'store') return undefined;
    const stored = lowBits(rest[0]!, 8 * operation.size);
    return stored === rest[0] ? undefined : this.make(operation, [address, stored]);
  }

  #learnFromBranch(block: Block): void {
    const [from] = block.predecessors;
    if (block.predecessors.length !== 1 || from?.terminator?.op !== 'branch') return;
    const { condition, then } = from.terminator;
    const holds = then === block;
    for (const [value, range] of learn(condition, holds, (of) => this.range(of))) {
      this.#facts[value.id] = { range, block, outer: this.#facts[value.id] };
    }
    const { operation, args } = condition;
    if (operation.op !== 'compare') return;
    const inverse = { ...operation, condition: INVERSE[operation.condition] };
    this.#equals.set(keyOf({ operation: inverse, args }), { value: holds ? 0n : 1n, block });
  }

  /** What branches say of a value here. Forgets what held only where the walk has left for good. */
  #fact({ id }: Value): Range | undefined {
    let fact = this.#facts[id];
    if (fact === undefined) return undefined;
    while (fact !== undefined && !this.#dominators.dominates(fact.block, this.#block)) fact = fact.outer;
    this.#facts[id] = fact;
    return fact?.range;
  }

  #operand(arg: Value): Value {
    const value = this.#resolve(arg);
    const fact = this.#fact(value);
    if (fact === undefined || fact.min !== fact.max || value.operation.op === 'const') return value;
    this.#changed = true;
    return this.make({ op: 'const', value: fact.min }, []);
  }

  #resolve(value: Value): Value {
    const replacement = this.#replacements[value.id];
    if (replacement === undefined) return value;
    const last = this.#resolve(replacement);
    this.#replacements[value.id] = last;
    return last;
  }

  #replace(value: Value, by: Value): void {
    if (by !== value) this.#replacements[value.id] = by;
  }

  #replaceAll(args: Value[]): void {
    for (let index = 0; index < args.length; index++) args[index] = this.#resolve(args[index]!);
  }
}

type Access = Extract<Operation, { op: 'load' | 'store' | 'increment' | 'atomic' | 'cmpxchg' | 'cmpxchg16' }>;

function isAccess(operation: Operation): operation is Access {
  return 'offset' in operation && operation.op !== 'threadLoad';
}

/** Equal for pure operations that compute the same. */
function keyOf({ operation, args }: Pick<Value, 'operation' | 'args'>): string {
  const [a, b, c] = args;
  if (a === undefined) return operationKey(operation);
  if (b === undefined) return `${operationKey(operation)} ${a.id}`;
  if (c !== undefined) return `${operationKey(operation)} ${a.id} ${b.id} ${c.id}`;
  const [first, second] = a.id > b.id && commutes(operation) ? [b.id, a.id] : [a.id, b.id];
  return `${operationKey(operation)} ${first} ${second}`;
}

function operationKey(operation: Operation): string {
  switch (operation.op) {
    case 'param':
      return `param ${operation.index}`;
    case 'site':
      return `site ${Object.values(operation.source)}`;
    case 'binary':
    case 'unary':
      return operation.operator + operation.width;
    case 'compare':
      return operation.condition + operation.width;
    default:
      return operation.op;
  }
}

function commutes(operation: Operation): boolean {
  if (operation.op === 'binary') return COMMUTATIVE.has(operation.operator);
  return operation.op === 'compare' && SWAPPED[operation.condition] === operation.condition;
}
