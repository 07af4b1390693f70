/**
 * Whether a state was looked at already: whether everything that may be true in it may be true in one that is known to be
 * safe. Of a state that was followed to all its ends only that counts on which safety was found to rest: numbers that are
 * precise, slots that were read. Source: Linux kernel/bpf/verifier.c, states_equal.
 */
import { includesScalar, isConstant, LOADED, sameScalar } from './scalar.ts';
import { type ByteKind, type Iterator, StackSlot, WHOLE } from './stack-slot.ts';
import type { Frame, Reference, State } from './state.ts';
import { type Dynptr, markPrecise, type Pointer, type Region, type RegisterValue, ScalarValue } from './value.ts';

/**
 * `demanded`: what turned out to matter must be the same or less. `within`: everything must; for states whose ends are
 * not all known. `exact`: everything must be the same.
 */
export type Comparison = 'demanded' | 'within' | 'exact';

/** A comparison under way: what stands for what so far, and all that was compared. */
export interface Correspondence {
  readonly mode: Comparison;
  readonly kept: ReadonlyMap<number | object, unknown>;
  /** Numbers and pointers that are the same in two places of the old state are the same in the new one. */
  values: Map<object, { readonly value: object; readonly distance: bigint }> | undefined;
  references: Map<number, number> | undefined;
  readonly pairs: [RegisterValue, RegisterValue][];
  readonly slots: [StackSlot, StackSlot][];
}

/**
 * Compares; undefined if something in `now` is not in `old`.
 *
 * @param live the registers that matter in a frame before an instruction, a bit each
 * @param kept references and runs of functions that states hold which loops may go back to: what ends those loops is counted by
 * iterators and runs, so these stand for none but themselves
 */
export function covers(
  old: State,
  now: State,
  mode: Comparison,
  live: Uint16Array,
  kept: ReadonlyMap<number | object, unknown> = NONE,
): Correspondence | undefined {
  if (old.frames.length !== now.frames.length) return undefined;
  if (old.references.length !== now.references.length) return undefined;
  const found: Correspondence = { mode, kept, values: undefined, references: undefined, pairs: [], slots: [] };
  if (!sameReferences(found, old.references, now.references)) return undefined;
  for (let depth = old.frames.length - 1; depth >= 0; depth--) {
    const inner = now.frames[depth + 1];
    // A caller goes on behind its call, or, if a helper calls back, at it.
    const next = inner === undefined ? now.insn : inner.callback === undefined ? inner.call + 1 : inner.call;
    if (!coversFrame(found, old.frames[depth]!, now.frames[depth]!, live[next]!)) return undefined;
  }
  return found;
}

const NONE: ReadonlyMap<number | object, unknown> = new Map();

/** What mattered in the old state matters in the new one. */
export function passOnDemands({ pairs, slots }: Correspondence): void {
  for (const [old, now] of pairs) if (old.kind === 'scalar' && old.precise) markPrecise(now);
  for (const [old, now] of slots) if (old.read) now.markRead();
}

/** What will matter in the old state will matter in the new one. */
export function shareDemands(correspondence: Correspondence): void {
  passOnDemands(correspondence);
  for (const [old, now] of correspondence.pairs) {
    if (old === now || old.kind !== 'scalar' || now.kind !== 'scalar' || old.precise) continue;
    old.sources ??= [];
    old.sources.push(now);
  }
  for (const [old, now] of correspondence.slots) if (old !== now) old.bases.push(now);
}

function coversFrame(found: Correspondence, old: Frame, now: Frame, live: number): boolean {
  if (old.subprogram !== now.subprogram || old.call !== now.call || old.callback !== now.callback) return false;
  if (old.callbacks > now.callbacks) return false;
  if (!standsFor(found, old.activation, now.activation)) return false;
  for (let register = 0; register < old.registers.length - 1; register++) {
    if ((live & (1 << register)) === 0) continue;
    if (!coversValue(found, old.registers[register], now.registers[register])) return false;
  }
  const slots = Math.max(old.stack.length, now.stack.length);
  for (let slot = 0; slot < slots; slot++) if (!coversSlot(found, old.stack[slot], now.stack[slot])) return false;
  return true;
}

function coversValue(found: Correspondence, old: RegisterValue | undefined, now: RegisterValue | undefined): boolean {
  if (old === undefined) return found.mode !== 'exact' || now === undefined;
  if (now === undefined) return false;
  found.pairs.push([old, now]);
  if (old.kind === 'pointer') return now.kind === 'pointer' && coversPointer(found, old, now);
  return now.kind === 'scalar' && coversNumber(found, old, now);
}

function coversNumber(found: Correspondence, old: ScalarValue, now: ScalarValue): boolean {
  if (found.mode === 'demanded' && !old.precise) return true;
  const inside = found.mode === 'exact' ? sameScalar(old.scalar, now.scalar) : includesScalar(old.scalar, now.scalar);
  if (!inside || isConstant(old.scalar)) return inside;
  // A sum of low halves does not stand for one of whole numbers where other sums with the same number are: nothing does.
  const root = old.width === now.width ? now.root : {};
  return corresponds(found, old.root, root, now.distance - old.distance);
}

function coversPointer(found: Correspondence, old: Pointer, now: Pointer): boolean {
  if (old === now) return !old.orNull || corresponds(found, old, now);
  if (old.orNull !== now.orNull || old.offset !== now.offset) return false;
  const inside =
    found.mode === 'exact' ? sameScalar(old.variable, now.variable) : includesScalar(old.variable, now.variable);
  return inside && sameRegion(found, old.region, now.region) && (!old.orNull || corresponds(found, old, now));
}

function sameRegion(found: Correspondence, old: Region, now: Region): boolean {
  if (old === now) return true;
  if (old.kind !== now.kind) return false;
  const same = REGIONS[old.kind] as (found: Correspondence, old: Region, now: Region) => boolean;
  return same(found, old, now);
}

type Same<K extends Region['kind']> = (
  found: Correspondence,
  old: Extract<Region, { kind: K }>,
  now: Extract<Region, { kind: K }>,
) => boolean;

const REGIONS: { readonly [K in Region['kind']]: Same<K> } = {
  context: () => true,
  task: () => true,
  dynptr: (found, old, now) => sameDynptr(found, old.dynptr, now.dynptr),
  stack: (_, old, now) => old.frame === now.frame,
  map: (_, old, now) => old.map === now.map,
  mapValue: (_, old, now) => old.map === now.map,
  mapKey: (_, old, now) => old.map === now.map,
  function: (_, old, now) => old.subprogram === now.subprogram,
  memory: (found, old, now) =>
    old.size === now.size &&
    old.writable === now.writable &&
    old.origin === now.origin &&
    (found.references?.get(old.reference) ?? 0) === now.reference &&
    sameDynptr(found, old.dynptr, now.dynptr),
};

function sameDynptr(found: Correspondence, old: Dynptr | undefined, now: Dynptr | undefined): boolean {
  if (old === undefined || now === undefined) return old === now;
  const isAlike = old.memory === now.memory && (found.references?.get(old.reference) ?? 0) === now.reference;
  return isAlike && corresponds(found, old, now);
}

/** True if what stands for `old` elsewhere is `now` too, and as much more. */
function corresponds(found: Correspondence, old: object, now: object, distance = 0n): boolean {
  found.values ??= new Map();
  const known = found.values.get(old);
  if (known === undefined) found.values.set(old, { value: now, distance });
  return known === undefined || (known.value === now && known.distance === distance);
}

function sameReferences(found: Correspondence, old: readonly Reference[], now: readonly Reference[]): boolean {
  return old.every(({ id, frame }, place) => {
    const other = now[place]!;
    found.references ??= new Map();
    found.references.set(id, other.id);
    return frame === other.frame;
  });
}

const EMPTY = new StackSlot(WHOLE.invalid);

function coversSlot(found: Correspondence, old: StackSlot | undefined, now: StackSlot | undefined): boolean {
  if (!samePart(found, old?.part, now?.part)) return false;
  if (found.mode === 'exact' && (old === undefined) !== (now === undefined)) return false;
  if (old === undefined || (found.mode === 'demanded' && !old.read)) return true;
  const held = now ?? EMPTY;
  if (now !== undefined) found.slots.push([old, now]);
  if (old.spilled !== undefined && !coversSpilled(found, old, old.spilled, held)) return false;
  return old.bytes.every((kind, byte) => coversByte(found, kind, held, byte));
}

/** Whether they matter or not: it is simpler, and they are few. */
function samePart(found: Correspondence, old: StackSlot['part'], now: StackSlot['part']): boolean {
  if (old === undefined || now === undefined) return old === now;
  if (old.kind === 'iterator') return now.kind === 'iterator' && sameIterator(found, old, now);
  if (now.kind === 'iterator') return false;
  return old.half === now.half && sameDynptr(found, old.dynptr, now.dynptr);
}

/**
 * How much was drawn does not matter, but to one who asks for exactly the same: there is less to be drawn then, so it is no endless
 * loop. That holds as long as it is the same iterator, and not one made anew in every round.
 */
function sameIterator({ mode, references, kept }: Correspondence, old: Iterator, now: Iterator): boolean {
  if (old.isDrained !== now.isDrained || references?.get(old.reference) !== now.reference) return false;
  if (mode === 'exact' && !old.isDrained && old.depth !== now.depth) return false;
  return standsFor({ kept }, old.reference, now.reference);
}

function standsFor<T extends number | object>({ kept }: Pick<Correspondence, 'kept'>, old: T, now: T): boolean {
  return old === now || !(kept.has(old) || kept.has(now));
}

/** What is spilled must correspond; bytes that are not spilled together are a number of which nothing is known. */
function coversSpilled(found: Correspondence, old: StackSlot, spilled: RegisterValue, now: StackSlot): boolean {
  const size = spilledBytes(old);
  if (now.spilled !== undefined && spilledBytes(now) === size) return coversValue(found, spilled, now.spilled);
  if (found.mode === 'exact' || spilled.kind === 'pointer' || now.spilled?.kind === 'pointer') return false;
  const number = new ScalarValue(LOADED[size]);
  return (found.mode === 'demanded' && !spilled.precise) || includesScalar(spilled.scalar, number.scalar);
}

function spilledBytes({ bytes }: StackSlot): 1 | 2 | 4 | 8 {
  return (bytes.lastIndexOf('spilled') + 1) as 1 | 2 | 4 | 8;
}

/** Bytes of which nothing was known may be anything, whatever is there. */
function coversByte(found: Correspondence, old: ByteKind, now: StackSlot, byte: number): boolean {
  if (found.mode === 'exact') return old === now.bytes[byte];
  return old !== 'zero' || now.bytes[byte] === 'zero';
}
