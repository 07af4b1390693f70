/**
 * What instruction selection asks about the values of a function: who is used how often, what may move past what, and
 * whose upper half is known to be zero.
 */
import { reversePostorder } from '../../ir/dominators.ts';
import { type Block, hasEffect, type IrFunction, type Size, type Value } from '../../ir/value.ts';

export interface Fact {
  readonly block: Block;
  /** Effects before it in its block: a load may move to where this number is the same. */
  readonly effectsBefore: number;
  /** How many operands of values that are needed it is. */
  uses: number;
}

export class ValueFacts {
  /** Reachable blocks, in reverse postorder: what is defined comes before what uses it, but for phis. */
  readonly order: readonly Block[];
  readonly #facts = new Map<Value, Fact>();
  readonly #effects = new Map<Block, number>();

  constructor(fn: IrFunction, returnsValue: boolean) {
    this.order = reversePostorder(fn);
    const roots: Value[] = [];
    for (const block of this.order) {
      let effectsBefore = 0;
      for (const value of block.values) {
        this.#facts.set(value, { block, effectsBefore, uses: 0 });
        if (!hasEffect(value.operation)) continue;
        effectsBefore++;
        roots.push(value);
      }
      this.#effects.set(block, effectsBefore);
      const { terminator } = block;
      if (terminator?.op === 'branch') roots.push(this.#use(terminator.condition));
      if (terminator?.op === 'return' && returnsValue) roots.push(this.#use(terminator.value));
    }
    this.#countUses(roots);
  }

  of(value: Value): Fact {
    const fact = this.#facts.get(value);
    if (fact === undefined) throw new RangeError(`value ${value.id} is in no reachable block`);
    return fact;
  }

  /** Nothing that must happen needs it. */
  isDead(value: Value): boolean {
    return this.of(value).uses === 0 && !hasEffect(value.operation);
  }

  isSingleUse(value: Value): boolean {
    return this.of(value).uses === 1;
  }

  effectsIn(block: Block): number {
    return this.#effects.get(block) ?? 0;
  }

  /** Operands count once for every value that is needed; those on edges never taken do not count. */
  #countUses(roots: readonly Value[]): void {
    const seen = new Set(roots);
    const work = [...seen];
    for (let value = work.pop(); value !== undefined; value = work.pop()) {
      const { predecessors } = this.of(value).block;
      value.args.forEach((arg, n) => {
        if (value.operation.op === 'phi' && !this.#effects.has(predecessors[n]!)) return;
        const used = this.#use(arg);
        if (seen.has(used)) return;
        seen.add(used);
        work.push(used);
      });
    }
  }

  #use(value: Value): Value {
    const used = identical(value);
    this.of(used).uses++;
    return used;
  }
}

/** The value behind operations that change nothing. */
export function identical(value: Value): Value {
  let result = value;
  while (changesNothing(result)) result = result.args[0]!;
  return result;
}

function changesNothing({ operation, args }: Value): boolean {
  if (operation.op === 'bounded') return true;
  return operation.op === 'unary' && operation.operator === 'zext32' && isZeroExtended(args[0]!);
}

/** True if the upper 32 bits are known to be zero. */
export function isZeroExtended(value: Value): boolean {
  const { operation, args } = value;
  switch (operation.op) {
    case 'const':
      return operation.value >> 32n === 0n;
    case 'binary':
      if (operation.width === 32) return true;
      if (operation.operator === 'and') return args.some((arg) => arg.operation.op === 'const' && isZeroExtended(arg));
      return operation.operator === 'shr' && (shiftCount(args[1]!) ?? 0) >= 32;
    case 'unary':
      return operation.width === 32 || ZERO_EXTENDING.has(operation.operator);
    case 'load':
      return !operation.signed && operation.size < 8;
    case 'threadLoad':
    case 'atomic':
    case 'cmpxchg':
      return operation.size < 8;
    case 'compare':
    case 'cmpxchg16':
    case 'cpuNumber':
      return true;
    default:
      return false;
  }
}

const ZERO_EXTENDING: ReadonlySet<string> = new Set(['zext8', 'zext16', 'zext32', 'bswap16', 'bswap32']);

/** The bits that operations which only keep low bits keep, if `value` is one. */
export function keptBits({ operation, args }: Value): number | undefined {
  if (operation.op === 'unary') return KEPT_BITS[operation.operator];
  if (operation.op !== 'binary' || operation.operator !== 'and') return undefined;
  const mask = args[1]!.operation;
  return mask.op === 'const' ? LOW_MASKS.get(mask.value) : undefined;
}

const KEPT_BITS: Readonly<Record<string, number>> = {
  zext8: 8,
  zext16: 16,
  zext32: 32,
  sext8: 8,
  sext16: 16,
  sext32: 32,
};
const LOW_MASKS = new Map([
  [0xffn, 8],
  [0xffffn, 16],
  [0xffff_ffffn, 32],
]);

/** A value with the same low `size` bytes, as little computed as can be. */
export function lowPart(value: Value, size: Size): Value {
  let result = identical(value);
  while ((keptBits(result) ?? 0) >= size * 8) result = identical(result.args[0]!);
  return result;
}

/** The number a constant holds, as a signed 64-bit number. */
export function constantOf(value: Value): bigint | undefined {
  const { operation } = value;
  if (operation.op === 'const') return BigInt.asIntN(64, operation.value);
  if (operation.op === 'site' && operation.source.in === 'constant') return BigInt.asIntN(64, operation.source.value);
  return undefined;
}

function shiftCount(value: Value): number | undefined {
  const count = constantOf(value);
  return count === undefined ? undefined : Number(count & 63n);
}
