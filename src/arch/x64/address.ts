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
  /** True if code can name this address relative to itself. */
  isNear(address: bigint): boolean;
  /** The frame slot of a `stack` value. */
  slotOf(stack: Value): number;
}

const NOWHERE: Anchor = { in: 'nothing' };

/**
 * The operand for `value` + `offset`.
 *
 * @param maxUses a sum with an index that is used more often is better computed once
 */
export function matchAddress(value: Value, offset: number, context: AddressContext, maxUses = 2): Address {
  const [root, disp] = withDisplacement(value, offset);
  const plain: Address = { anchor: NOWHERE, base: root, index: undefined, scale: 1, disp };
  const place = absoluteAddress(root, disp, context) ?? anchored(root, disp, context);
  if (place !== undefined) return place;

  const { operation, args } = root;
  if (operation.op !== 'binary' || operation.width !== 64) return plain;
  if (context.facts.of(root).uses > maxUses) return plain;
  if (operation.operator === 'shl') {
    const [index, scale] = scaled(root, context);
    return scale === 1 ? plain : { ...plain, base: undefined, index, scale };
  }
  if (operation.operator !== 'add') return plain;
  const [a, b] = [identical(args[0]!), identical(args[1]!)];
  const [base, other] = scaled(a, context)[1] > 1 || isAnchor(b) ? [b, a] : [a, b];
  const [index, scale] = scaled(other, context);
  const [inner, innerDisp] = withDisplacement(base, disp);
  const anchor = anchored(inner, innerDisp, context);
  if (anchor !== undefined) return { ...anchor, index, scale };
  return { ...plain, base: inner, index, scale, disp: innerDisp };
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

function absoluteAddress(root: Value, disp: number, context: AddressContext): Address | undefined {
  const constant = constantOf(root);
  if (constant === undefined) return undefined;
  const address = BigInt.asUintN(64, constant + BigInt(disp));
  if (!context.isNear(address) && !fits32(BigInt.asIntN(64, address))) return undefined;
  return { anchor: { in: 'absolute', address }, base: undefined, index: undefined, scale: 1, disp: 0 };
}

/** Addresses that count from the stack pointer. */
function anchored(root: Value, disp: number, context: AddressContext): Address | undefined {
  const { operation } = root;
  if (operation.op === 'stack') {
    return { anchor: { in: 'frame', slot: context.slotOf(root) }, base: undefined, index: undefined, scale: 1, disp };
  }
  if (operation.op !== 'site' || operation.source.in !== 'stackPointer') return undefined;
  const { offset } = operation.source;
  return { anchor: { in: 'site' }, base: undefined, index: undefined, scale: 1, disp: disp + offset };
}

function isAnchor({ operation }: Value): boolean {
  return operation.op === 'stack' || (operation.op === 'site' && operation.source.in === 'stackPointer');
}

/** value = index * scale */
function scaled(value: Value, { facts }: AddressContext): [index: Value, scale: Scale] {
  const { operation, args } = value;
  if (operation.op !== 'binary' || operation.operator !== 'shl' || operation.width !== 64) return [value, 1];
  const count = constantOf(args[1]!);
  const scale = count === undefined ? undefined : SCALES.get(count);
  return scale === undefined || facts.of(value).uses > 2 ? [value, 1] : [identical(args[0]!), scale];
}

const SCALES: ReadonlyMap<bigint, Scale> = new Map([
  [1n, 2],
  [2n, 4],
  [3n, 8],
]);
