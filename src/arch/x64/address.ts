/** Which part of an address computation an x86-64 memory operand does by itself. */
import type { Value } from '../../ir/value.ts';
import { fits32 } from './assembler.ts';
import type { Anchor } from './lir.ts';
import type { Scale } from './memory.ts';
import { constantOf, identical, type ValueFacts } from './value-facts.ts';

/** base + index * scale + disp from an anchor: a memory operand over values. */
export interface Address {
  readonly anchor: Anchor;
  readonly base: Value | undefined;
  readonly index: Value | undefined;
  readonly scale: Scale;
  readonly disp: number;
}

export interface AddressContext {
  readonly facts: ValueFacts;
  /** True if the value is computed in any case. */
  isAsked(value: Value): boolean;
  /** True if code can name this address relative to itself. */
  isNear(address: bigint): boolean;
  /** The frame slot of a `stack` value. */
  slotOf(stack: Value): number;
}

/** A sum with an index that is used more often is better computed once. */
const MAX_USES = 2;

/** The operand for `value` + `offset`, as far as it pays to let the operand compute it. */
export function matchAddress(value: Value, offset: number, context: AddressContext): Address {
  const [root, disp] = withDisplacement(value, offset);
  const isShared = context.isAsked(root) || context.facts.of(root).uses > MAX_USES;
  return knownPlace(root, disp, context) ?? (isShared ? plain(root, disp) : split(root, disp, context));
}

/** The operand that computes `value`, however it is used. */
export function matchSum(value: Value, context: AddressContext): Address {
  const [root, disp] = withDisplacement(value, 0);
  return knownPlace(root, disp, context) ?? split(root, disp, context);
}

function plain(base: Value, disp: number): Address {
  return { anchor: { in: 'nothing' }, base, index: undefined, scale: 1, disp };
}

/** root + disp, root being a sum or product if it can be taken apart. */
function split(root: Value, disp: number, context: AddressContext): Address {
  const { operation, args } = root;
  if (operation.op !== 'binary' || operation.width !== 64) return plain(root, disp);
  if (operation.operator === 'shl') {
    const [index, scale] = scaled(root, context);
    return scale === 1 ? plain(root, disp) : { ...plain(root, disp), base: undefined, index, scale };
  }
  if (operation.operator !== 'add') return plain(root, disp);
  const [a, b] = [identical(args[0]!), identical(args[1]!)];
  const [first, second] = scaled(a, context)[1] > 1 || isOnStack(b) ? [b, a] : [a, b];
  const [index, scale] = scaled(second, context);
  const [base, sum] = withDisplacement(first, disp);
  return { ...(onStack(base, sum, context) ?? plain(base, sum)), index, scale };
}

/** Two addresses are the same place whenever they are reached. */
export function sameAddress(a: Address, b: Address): boolean {
  return (
    a.base === b.base &&
    a.index === b.index &&
    a.scale === b.scale &&
    a.disp === b.disp &&
    sameAnchor(a.anchor, b.anchor)
  );
}

function sameAnchor(a: Anchor, b: Anchor): boolean {
  if (a.in === 'absolute') return b.in === 'absolute' && a.address === b.address;
  if (a.in === 'frame') return b.in === 'frame' && a.slot === b.slot;
  return a.in === b.in;
}

/** Takes constant summands off as long as the sum of them fits. */
function withDisplacement(value: Value, offset: number): [root: Value, disp: number] {
  let root = identical(value);
  let disp = offset;
  for (;;) {
    const { operation, args } = root;
    if (operation.op !== 'binary' || operation.width !== 64) return [root, disp];
    const [a, b] = [identical(args[0]!), identical(args[1]!)];
    const [rest, constant] = operation.operator === 'add' && constantOf(a) !== undefined ? [b, a] : [a, b];
    const summand = constantOf(constant);
    if (summand === undefined || (operation.operator !== 'add' && operation.operator !== 'sub')) return [root, disp];
    const sum = BigInt(disp) + (operation.operator === 'add' ? summand : -summand);
    if (!fits32(sum)) return [root, disp];
    [root, disp] = [rest, Number(sum)];
  }
}

/** A constant address, or one that counts from the stack pointer. */
function knownPlace(root: Value, disp: number, context: AddressContext): Address | undefined {
  const constant = constantOf(root);
  if (constant === undefined) return onStack(root, disp, context);
  const address = BigInt.asUintN(64, constant + BigInt(disp));
  if (!context.isNear(address) && !fits32(BigInt.asIntN(64, address))) return undefined;
  return { anchor: { in: 'absolute', address }, base: undefined, index: undefined, scale: 1, disp: 0 };
}

function onStack(root: Value, disp: number, context: AddressContext): Address | undefined {
  const { operation } = root;
  const rest = { base: undefined, index: undefined, scale: 1 } as const;
  if (operation.op === 'stack') return { anchor: { in: 'frame', slot: context.slotOf(root) }, ...rest, disp };
  if (operation.op !== 'site' || operation.source.in !== 'stackPointer') return undefined;
  return { anchor: { in: 'site' }, ...rest, disp: disp + operation.source.offset };
}

function isOnStack({ operation }: Value): boolean {
  return operation.op === 'stack' || (operation.op === 'site' && operation.source.in === 'stackPointer');
}

/** value = index * scale */
function scaled(value: Value, context: AddressContext): [index: Value, scale: Scale] {
  const { operation, args } = value;
  if (operation.op !== 'binary' || operation.operator !== 'shl' || operation.width !== 64) return [value, 1];
  const count = constantOf(args[1]!);
  const scale = count === undefined ? undefined : SCALES.get(count);
  return scale === undefined || context.isAsked(value) ? [value, 1] : [identical(args[0]!), scale];
}

const SCALES: ReadonlyMap<bigint, Scale> = new Map([
  [1n, 2],
  [2n, 4],
  [3n, 8],
]);
