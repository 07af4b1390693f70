/** Where a pointer goes: which bytes behind it are read and written, by whom, and whether it gets out of sight. */
import type { IrFunction, Operation, Value } from '../value.ts';

/** One use of the pointer that touches bytes `from` to `to` (exclusive) behind it; none if they are equal. */
export interface PointerUse {
  readonly user: Value;
  /** Which operand of `user` the pointer is. */
  readonly operand: number;
  /** What the pointer was moved by before it came here; a load's own offset is not in it. */
  readonly moved: number;
  readonly from: number;
  /** Infinity: everything behind `from`. */
  readonly to: number;
}

/** Every use of a pointer, or undefined if it gets where it cannot be followed. */
export type PointerUses = readonly PointerUse[] | undefined;

/** Follows pointers through one function and those it calls. */
export class PointerTracker {
  /** By value id. `user` is undefined for a block's end. */
  readonly #users: { readonly user: Value | undefined; readonly operand: number }[][] = [];

  constructor(fn: IrFunction) {
    const use = (value: Value, user: Value | undefined, operand: number) => {
      this.#users[value.id] ??= [];
      this.#users[value.id]!.push({ user, operand });
    };
    for (const { values, terminator } of fn.blocks) {
      for (const value of values) for (const [operand, arg] of value.args.entries()) use(arg, value, operand);
      if (terminator?.op === 'branch') use(terminator.condition, undefined, 0);
      if (terminator?.op === 'return') use(terminator.value, undefined, 0);
    }
  }

  /** The uses of `pointer`. A function that gets it as an argument is not thought to look in front of it. */
  trace(pointer: Value, moved = 0): PointerUses {
    const uses: PointerUse[] = [];
    for (const { user, operand } of this.#users[pointer.id] ?? []) {
      if (user === undefined) return undefined;
      const found = this.#follow(user, operand, moved);
      if (found === undefined) return undefined;
      uses.push(...found);
    }
    return uses;
  }

  #follow(user: Value, operand: number, moved: number): PointerUses {
    const { operation, args } = user;
    const touches = (from: number, to: number) => [{ user, operand, moved, from, to }];
    switch (operation.op) {
      case 'binary': {
        const other = args[1]!.operation;
        if (operation.operator !== 'add' || operation.width !== 64 || operand !== 0 || other.op !== 'const')
          return undefined;
        const by = BigInt.asIntN(64, other.value);
        return BigInt.asIntN(32, by) === by ? this.trace(user, moved + Number(by)) : undefined;
      }
      case 'bounded': {
        const end = moved + operation.size;
        const uses = this.trace(user, moved) ?? touches(moved, end);
        return uses.map((use) => (use.to === Number.POSITIVE_INFINITY ? { ...use, to: end } : use));
      }
      case 'call': {
        const reach = reachOf(operation.callee, operand);
        return reach && touches(moved + reach.from, moved + reach.to);
      }
      case 'callAddress':
      case 'syscall':
        return touches(moved, Number.POSITIVE_INFINITY);
      default: {
        const size = accessSize(operation);
        if (size === undefined || operand !== 0) return undefined;
        const from = moved + ('offset' in operation ? operation.offset : 0);
        return touches(from, from + size);
      }
    }
  }
}

/** How many bytes the operation reads or writes at its first operand; undefined if it is no access. */
function accessSize(operation: Operation): number | undefined {
  switch (operation.op) {
    case 'load':
    case 'store':
    case 'atomic':
    case 'cmpxchg':
      return operation.size;
    case 'increment':
      return 8;
    case 'cmpxchg16':
      return 16;
    default:
      return undefined;
  }
}

/** The bytes a function may touch behind one of its params. */
interface Reach {
  readonly from: number;
  readonly to: number;
}

/** Optimising a function takes accesses away, never adds one, so what was found once stays true. */
const REACHES = new WeakMap<IrFunction, (Reach | undefined)[]>();

function reachOf(callee: IrFunction, param: number): Reach | undefined {
  let reaches = REACHES.get(callee);
  if (reaches === undefined) {
    reaches = findReaches(callee);
    REACHES.set(callee, reaches);
  }
  return reaches[param];
}

function findReaches(callee: IrFunction): (Reach | undefined)[] {
  const tracker = new PointerTracker(callee);
  const params = callee.blocks.flatMap(({ values }) => values.filter(({ operation }) => operation.op === 'param'));
  return Array.from({ length: callee.paramCount }, (_, index) => {
    const uses: PointerUse[] = [];
    for (const param of params) {
      if (param.operation.op !== 'param' || param.operation.index !== index) continue;
      const found = tracker.trace(param);
      if (found === undefined) return undefined;
      uses.push(...found);
    }
    const touched = uses.filter(({ from, to }) => from < to);
    if (touched.length === 0) return { from: 0, to: 0 };
    return { from: Math.min(...touched.map(({ from }) => from)), to: Math.max(...touched.map(({ to }) => to)) };
  });
}
