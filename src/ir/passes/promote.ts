/**
 * Stack memory becomes values. A `stack` whose every use is known is cut into slots, the pieces that accesses do not
 * straddle. A slot of at most 8 bytes that is only loaded and stored becomes a variable and then SSA values; the others
 * become stacks of their own, so that what nobody reads takes no room.
 */
import { alignUp } from '../../bytes/align.ts';
import { reversePostorder } from '../dominators.ts';
import { Renaming, type Variables } from '../renaming.ts';
import type { BinaryOperator, Block, IrFunction, Operation, Size, UnaryOperator, Value } from '../value.ts';
import { PointerTracker, type PointerUse } from './pointer-uses.ts';
import { replaceUses } from './rewrite.ts';

/** True if anything changed. */
export function promoteStack(fn: IrFunction): boolean {
  const plan = new Plan();
  const tracker = new PointerTracker(fn);
  for (const { values } of fn.blocks) {
    for (const value of values) {
      if (value.operation.op === 'stack') plan.add(fn, value, value.operation.size, tracker);
    }
  }
  if (plan.isEmpty) return false;
  new Promotion(fn, plan).run();
  return true;
}

/** Drops the bounds of pointers once the stack is cut by them. True if there were any. */
export function dropBounds(fn: IrFunction): boolean {
  const replacements = new Map<Value, Value>();
  for (const block of fn.blocks) {
    block.values = block.values.filter((value) => {
      if (value.operation.op !== 'bounded') return true;
      replacements.set(value, value.args[0]!);
      return false;
    });
  }
  replaceUses(fn, replacements);
  return replacements.size > 0;
}

/** Bytes `from` to `to` (exclusive) of a stack that are used together. */
interface Slot {
  from: number;
  to: number;
  readonly uses: PointerUse[];
}

/** A load or store of the variable's bytes from `shift` bits up. */
interface VariableAccess {
  readonly kind: 'variable';
  readonly variable: number;
  readonly shift: number;
  /** In bytes. */
  readonly slotSize: number;
}

/** What happens to one use of a stack pointer. */
type Change =
  | VariableAccess
  /** The operand becomes `base` moved by `moved`. */
  | { readonly kind: 'move'; readonly operand: number; readonly base: Value; readonly moved: number }
  /** The operand points to bytes nobody looks at. */
  | { readonly kind: 'drop'; readonly operand: number };

class Plan {
  readonly changes = new Map<Value, Change[]>();
  /** Stacks to be made, at the function's entry. */
  readonly stacks: Value[] = [];
  variableCount = 0;

  get isEmpty(): boolean {
    return this.changes.size === 0;
  }

  add(fn: IrFunction, stack: Value, size: number, tracker: PointerTracker): void {
    const uses = tracker.trace(stack);
    if (uses === undefined || uses.length === 0) return;
    const known = uses.map((use) => ({ ...use, to: use.to === Number.POSITIVE_INFINITY ? size : use.to }));
    if (known.some(({ from, to }) => from < to && (from < 0 || to > size))) return;
    const slots = cut(known.filter(({ from, to }) => from < to));
    const [only] = slots;
    const stays = slots.length === 1 && !isVariable(only!) && extent(only!).size >= size;
    if (stays) return;
    for (const use of known) if (use.from >= use.to) this.#change(use, { kind: 'drop', operand: use.operand });
    for (const slot of slots) this.#place(fn, slot);
  }

  #place(fn: IrFunction, slot: Slot): void {
    if (isVariable(slot)) {
      const variable = this.variableCount++;
      for (const use of slot.uses) {
        const shift = 8 * (use.from - slot.from);
        this.#change(use, { kind: 'variable', variable, shift, slotSize: slot.to - slot.from });
      }
      return;
    }
    const { start, size } = extent(slot);
    const base = fn.value({ op: 'stack', size });
    this.stacks.push(base);
    for (const use of slot.uses) {
      this.#change(use, { kind: 'move', operand: use.operand, base, moved: use.moved - start });
    }
  }

  #change({ user }: PointerUse, change: Change): void {
    const changes = this.changes.get(user);
    if (changes === undefined) this.changes.set(user, [change]);
    else changes.push(change);
  }
}

/** Joins uses that overlap. */
function cut(uses: readonly PointerUse[]): Slot[] {
  const slots: Slot[] = [];
  for (const use of [...uses].sort((a, b) => a.from - b.from)) {
    const last = slots.at(-1);
    if (last === undefined || use.from >= last.to) {
      slots.push({ from: use.from, to: use.to, uses: [use] });
    } else {
      last.to = Math.max(last.to, use.to);
      last.uses.push(use);
    }
  }
  return slots;
}

function isVariable({ from, to, uses }: Slot): boolean {
  return to - from <= 8 && uses.every(({ user: { operation } }) => operation.op === 'load' || operation.op === 'store');
}

/** The stack a slot needs, aligned as it was. */
function extent({ from, to, uses }: Slot): { start: number; size: number } {
  const alignment = uses.some(({ user }) => user.operation.op === 'cmpxchg16') ? 16 : 8;
  const start = Math.floor(from / alignment) * alignment;
  return { start, size: alignUp(to - start, alignment) };
}

class Promotion {
  readonly #fn: IrFunction;
  readonly #plan: Plan;
  readonly #replacements = new Map<Value, Value>();
  #values: Value[] = [];
  #origin: number | undefined;

  constructor(fn: IrFunction, plan: Plan) {
    this.#fn = fn;
    this.#plan = plan;
  }

  run(): void {
    const renaming = new Renaming(this.#fn);
    const count = this.#plan.variableCount;
    const left = new Set<Block>();
    for (const [index, block] of reversePostorder(this.#fn).entries()) {
      const kind = block.predecessors.every((predecessor) => left.has(predecessor)) ? 'join' : 'loop';
      const old = block.values;
      this.#values = [];
      const variables = index === 0 ? this.#initial(count) : renaming.enter(block, kind, count, () => true);
      const phis = index === 0 ? [] : block.values.slice(0, block.values.length - old.length);
      left.add(block);
      for (const value of old) this.#visit(value, variables);
      renaming.leave(block, variables);
      block.values = [...phis, ...this.#values];
    }
    renaming.finish();
    replaceUses(this.#fn, this.#replacements);
  }

  /** Nobody may expect anything of bytes never written, so they are as good as zero. */
  #initial(count: number): Variables {
    this.#values.push(...this.#plan.stacks);
    if (count === 0) return [];
    const zero = this.#number(0n);
    return Array.from({ length: count }, () => zero);
  }

  #visit(value: Value, variables: Variables): void {
    const changes = this.#plan.changes.get(value);
    this.#origin = value.origin;
    const [first] = changes ?? [];
    if (changes === undefined) this.#values.push(value);
    else if (first?.kind === 'variable') this.#visitVariable(value, first, variables);
    else this.#move(value, changes);
  }

  #visitVariable(value: Value, place: VariableAccess, variables: Variables): void {
    const { operation, args } = value;
    const old = variables[place.variable]!;
    if (operation.op === 'load') this.#replacements.set(value, this.#extract(old, operation, place));
    else if (operation.op === 'store') variables[place.variable] = this.#insert(old, args[1]!, operation.size, place);
  }

  /** The variable holds the slot's bytes, zero-extended. */
  #extract(variable: Value, { size, signed }: Load, { shift, slotSize }: VariableAccess): Value {
    const shifted = shift === 0 ? variable : this.#binary('shr', variable, BigInt(shift));
    if (size === 8 || (!signed && 8 * size + shift >= 8 * slotSize)) return shifted;
    const operator = signed ? SIGN_EXTENSIONS[size] : ZERO_EXTENSIONS[size];
    return this.#make({ op: 'unary', operator, width: 64 }, [shifted]);
  }

  #insert(variable: Value, value: Value, size: Size, { shift, slotSize }: VariableAccess): Value {
    if (size === 8) return value;
    const bits = this.#make({ op: 'unary', operator: ZERO_EXTENSIONS[size], width: 64 }, [value]);
    if (size === slotSize) return bits;
    const mask = ((1n << BigInt(8 * size)) - 1n) << BigInt(shift);
    const kept = this.#binary('and', variable, BigInt.asUintN(64, ~mask));
    const moved = this.#binary('shl', bits, BigInt(shift));
    return this.#make({ op: 'binary', operator: 'or', width: 64 }, [kept, moved]);
  }

  /** The same operation on other stacks. */
  #move(value: Value, changes: readonly Change[]): void {
    let { operation } = value;
    const args = [...value.args];
    for (const change of changes) {
      if (change.kind === 'drop') args[change.operand] = this.#number(0n);
      if (change.kind !== 'move') continue;
      const { base, moved, operand } = change;
      if ('offset' in operation) {
        operation = { ...operation, offset: operation.offset + moved };
        args[operand] = base;
      } else {
        args[operand] = moved === 0 ? base : this.#binary('add', base, BigInt.asUintN(64, BigInt(moved)));
      }
    }
    this.#replacements.set(value, this.#make(operation, args));
  }

  #binary(operator: BinaryOperator, a: Value, b: bigint): Value {
    return this.#make({ op: 'binary', operator, width: 64 }, [a, this.#number(b)]);
  }

  #make(operation: Operation, args: readonly Value[]): Value {
    const value = this.#fn.value(operation, args, this.#origin);
    this.#values.push(value);
    return value;
  }

  #number(value: bigint): Value {
    return this.#make({ op: 'const', value }, []);
  }
}

type Load = Extract<Operation, { op: 'load' }>;

const ZERO_EXTENSIONS = { 1: 'zext8', 2: 'zext16', 4: 'zext32' } as const satisfies Partial<
  Record<Size, UnaryOperator>
>;
const SIGN_EXTENSIONS = { 1: 'sext8', 2: 'sext16', 4: 'sext32' } as const satisfies Partial<
  Record<Size, UnaryOperator>
>;
