/**
 * What a register or a spilled slot holds: a number or a pointer. Values are passed on by reference, so the same object
 * in two places means the same number: what a branch tells of one, it tells of all, and of their sums with constants.
 */
import type { Width } from '../insn/form.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { constantScalar, type Scalar } from './scalar.ts';

/** What a register holds; undefined where nothing was written. */
export type RegisterValue = ScalarValue | Pointer;

/** A number that no pointer is. */
export class ScalarValue {
  readonly kind = 'scalar';
  readonly scalar: Scalar;
  /** True once a decision about safety rested on what is known of it; then a state that knows less is not the same. */
  precise = false;
  /** True once a stored state holds it: only those are ever compared. */
  stored = false;
  /** What it was computed from, as far as a stored state may hold it: precise with it. undefined: nothing, or no longer needed. */
  sources: ScalarValue[] | undefined;
  /** Stands for a number, whatever is known of it; this one is `distance` more. */
  readonly root: object;
  readonly distance: bigint;
  /** Bits of the sum: of 32 bits it is that of the low halves, with zeros above. */
  readonly width: Width;

  constructor(
    scalar: Scalar,
    sources: ScalarValue[] | undefined = undefined,
    root: object | undefined = undefined,
    distance = 0n,
    width: Width = 64,
  ) {
    this.scalar = scalar;
    this.sources = sources;
    this.root = root ?? this;
    this.distance = distance;
    this.width = width;
  }
}

/** The same number, of which something else is known; that rests on what was known of others. */
export function refined(value: ScalarValue, scalar: Scalar, a: ScalarValue, b?: ScalarValue): ScalarValue {
  const sources = withSource(withSource(withSource(undefined, value), a), b);
  return new ScalarValue(scalar, sources, value.root, value.distance, value.width);
}

/** A number that is a constant, not 0, more than another. The sum of such a one is a number of its own, so that loops converge. */
export function increased(value: ScalarValue, by: bigint, width: Width, scalar: Scalar): ScalarValue {
  if (value.distance !== 0n) return derived(scalar, value);
  return new ScalarValue(scalar, withSource(undefined, value), value.root, by, width);
}

/** A value computed from others. */
export function derived(scalar: Scalar, a?: ScalarValue, b?: ScalarValue): ScalarValue {
  return new ScalarValue(scalar, withSource(withSource(undefined, a), b));
}

function withSource(sources: ScalarValue[] | undefined, value: ScalarValue | undefined): ScalarValue[] | undefined {
  if (value === undefined || value.precise) return sources;
  // What no stored state holds is never compared: what it was made of is in its place.
  const source = value.stored || (value.sources?.length ?? 0) > 1 ? value : value.sources?.[0];
  if (source === undefined) return sources;
  if (sources === undefined) return [source];
  sources.push(source);
  return sources;
}

/** Notes that safety rests on a number, and so on all that it was computed from. */
export function markPrecise(value: RegisterValue): void {
  if (value.kind !== 'scalar' || value.precise) return;
  const pending = [value];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.precise) continue;
    next.precise = true;
    if (next.sources !== undefined) pending.push(...next.sources);
    next.sources = undefined;
  }
}

/** What a pointer points into: where it may go from there and back is a matter of offsets. */
export type Region =
  /** What the program is called with. */
  | { readonly kind: 'context' }
  /** The stack of the active function that many calls deep. Offset 0 is the frame pointer. */
  | { readonly kind: 'stack'; readonly frame: number }
  /** The map itself, as helpers take it. */
  | { readonly kind: 'map'; readonly map: MapSpec }
  | { readonly kind: 'mapValue'; readonly map: MapSpec }
  | { readonly kind: 'mapKey'; readonly map: MapSpec }
  | MemoryRegion
  /** What a helper gave that only helpers look into. */
  | { readonly kind: 'task' }
  /** A dynptr that a helper passes to what it calls back. */
  | { readonly kind: 'dynptr'; readonly dynptr: Dynptr }
  /** A subprogram, to be called back. */
  | { readonly kind: 'function'; readonly subprogram: number };

/** A run of bytes that a helper or a caller gives. */
export interface MemoryRegion {
  readonly kind: 'memory';
  /** In bytes. */
  readonly size: number;
  readonly writable: boolean;
  /** The reference that is given back with it; 0: none. */
  readonly reference: number;
  /** Only what bpf_ringbuf_reserve gave may be given to bpf_ringbuf_submit. */
  readonly origin: 'ringbuf' | 'argument' | 'dynptr' | 'iterator';
  /** The dynptr it is a part of: it goes with it. */
  readonly dynptr?: Dynptr;
}

/** Memory whose place and size only the running program knows. The same object is the same dynptr. */
export interface Dynptr {
  readonly memory: 'local' | 'ringbuf';
  /** The reference that is given back with it; 0: none. */
  readonly reference: number;
}

const NOWHERE_ELSE = constantScalar(0n);

/** An address: of a place that many bytes into a region. */
export class Pointer {
  readonly kind = 'pointer';
  readonly region: Region;
  /** It may be 0 instead. */
  readonly orNull: boolean;
  /** The part of the offset that is known, in bytes. */
  readonly offset: number;
  /** The part that is not; a constant 0 in most. */
  readonly variable: Scalar;

  constructor(region: Region, orNull = false, offset = 0, variable = NOWHERE_ELSE) {
    this.region = region;
    this.orNull = orNull;
    this.offset = offset;
    this.variable = variable;
  }
}
