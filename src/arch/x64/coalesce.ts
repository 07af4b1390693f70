/**
 * Joins virtual registers that are copies of each other and never in use at the same time, most frequent copies first.
 * Copies from and to hardware registers become wishes instead: a range that is bound early finds no place late.
 */
import { FIRST_VIRTUAL, type Inst, type LirFunction, type VReg } from './lir.ts';
import { coverage, overlap, type Segments, union, visitRegisters } from './liveness.ts';
import type { Reg } from './registers.ts';

/** Virtual registers that have become one. */
export interface Range {
  readonly members: readonly VReg[];
  readonly segments: Segments;
  /** Positions covered. */
  readonly size: number;
  /** What keeping it in memory would cost, per position; infinite for what must not be. */
  readonly weight: number;
  /** What each hardware register would save in copies. */
  readonly wishes: ReadonlyMap<Reg, number>;
  /** The register it has its value from and never changes. */
  readonly arrivesIn: Reg | undefined;
  /** How often it is written, at the place where that is most. */
  readonly writes: number;
  /** Registers it was split from or to: each would save this much by being in the same one. */
  readonly related: ReadonlyMap<VReg, number>;
}

interface Draft {
  readonly members: readonly VReg[];
  readonly segments: Segments;
  readonly isSpillable: boolean;
  /** Reads and writes, by frequency. */
  readonly uses: number;
  readonly wishes: ReadonlyMap<Reg, number>;
  /** Hardware registers it is copied from, and the frequency of the most frequent such copy. */
  readonly arrivals: ReadonlyMap<Reg, number>;
  /** Frequency of the most frequent instruction, other than a copy, that writes it. */
  readonly writes: number;
  readonly related: ReadonlyMap<VReg, number>;
}

interface Copy {
  readonly dst: VReg;
  readonly src: VReg;
  readonly frequency: number;
}

/** `free`: hardware registers that may be changed at no cost. */
export function coalesce(fn: LirFunction, segments: readonly Segments[], free: ReadonlySet<Reg>): Range[] {
  const { drafts, copies } = survey(fn, segments);
  const current: (Draft | undefined)[] = [...drafts];
  const joined = new Set<Copy>();
  for (const copy of copies.sort((a, b) => b.frequency - a.frequency)) {
    const [a, b] = [current[copy.dst]!, current[copy.src]!];
    if (a !== b) {
      if (!a.isSpillable || !b.isSpillable || wouldSpoil(a, b, free) || overlap(a.segments, b.segments)) continue;
      const draft = join(a, b);
      for (const member of draft.members) current[member] = draft;
    }
    joined.add(copy);
  }
  const copied = new Map<Draft, number>();
  for (const copy of copies) {
    const draft = current[copy.dst]!;
    if (!joined.has(copy)) copied.set(draft, Math.max(copied.get(draft) ?? 0, copy.frequency));
  }
  return [...new Set(current)].filter((draft) => draft !== undefined).map((d) => finish(d, copied.get(d) ?? 0));
}

/** One draft for each virtual register in use, and the copies between them. */
function survey(fn: LirFunction, segments: readonly Segments[]): { drafts: (Draft | undefined)[]; copies: Copy[] } {
  const count = segments.length;
  const uses = new Float64Array(count);
  const writes = new Float64Array(count);
  const wishes = new Map<VReg, Map<Reg, number>>();
  const arrivals = new Map<VReg, Map<Reg, number>>();
  const related = new Map<VReg, Map<VReg, number>>();
  const copies: Copy[] = [];

  for (const { insts, frequency } of fn.blocks) {
    for (const inst of insts) {
      visitRegisters(inst, (register, role) => {
        uses[register]! += frequency;
        const isWrite = role !== 'r' && inst.op !== 'copy' && inst.op !== 'split';
        if (isWrite) writes[register] = Math.max(writes[register]!, frequency);
      });
      if (inst.op === 'split') noteSplit(inst, frequency, related);
      for (const [dst, src] of copiesOf(inst)) {
        if (dst >= FIRST_VIRTUAL && src >= FIRST_VIRTUAL) copies.push({ dst, src, frequency });
        else if (dst >= FIRST_VIRTUAL || src >= FIRST_VIRTUAL) {
          const [register, hardware] = dst >= FIRST_VIRTUAL ? [dst, src as Reg] : [src, dst as Reg];
          const wished = entry(wishes, register, () => new Map<Reg, number>());
          wished.set(hardware, (wished.get(hardware) ?? 0) + frequency);
          const arrived = entry(arrivals, register, () => new Map<Reg, number>());
          if (register === dst) arrived.set(hardware, Math.max(arrived.get(hardware) ?? 0, frequency));
        }
      }
    }
  }
  const drafts = segments.map((own, register): Draft | undefined =>
    register < FIRST_VIRTUAL || own.length === 0
      ? undefined
      : {
          members: [register],
          segments: own,
          isSpillable: !fn.unspillable.has(register),
          uses: uses[register]!,
          wishes: wishes.get(register) ?? new Map(),
          arrivals: arrivals.get(register) ?? new Map(),
          writes: writes[register]!,
          related: related.get(register) ?? new Map(),
        },
  );
  return { drafts, copies };
}

function noteSplit({ operands: [dst, src] }: Inst, frequency: number, related: Map<VReg, Map<VReg, number>>): void {
  if (dst?.kind !== 'reg' || src?.kind !== 'reg') return;
  for (const [one, other] of [
    [dst.reg, src.reg],
    [src.reg, dst.reg],
  ] as const) {
    const saved = entry(related, one, () => new Map<VReg, number>());
    saved.set(other, (saved.get(other) ?? 0) + frequency);
  }
}

/** The copies from register to register that an instruction makes. */
function* copiesOf(inst: Inst): Generator<[dst: VReg, src: VReg]> {
  if (inst.op !== 'copy') return;
  const half = inst.operands.length / 2;
  for (let n = 0; n < half; n++) {
    const [dst, src] = [inst.operands[n]!, inst.operands[half + n]!];
    if (dst.kind === 'reg' && src.kind === 'reg') yield [dst.reg, src.reg];
  }
}

/** A register that has to be saved before it is changed is better copied to one that need not. */
function wouldSpoil(a: Draft, b: Draft, free: ReadonlySet<Reg>): boolean {
  const isPrecious = ({ arrivals }: Draft) => [...arrivals.keys()].some((register) => !free.has(register));
  return (a.writes > 0 && isPrecious(b)) || (b.writes > 0 && isPrecious(a));
}

function join(a: Draft, b: Draft): Draft {
  return {
    members: [...a.members, ...b.members],
    segments: union(a.segments, b.segments),
    isSpillable: true,
    uses: a.uses + b.uses,
    wishes: sum(a.wishes, b.wishes),
    arrivals: sum(a.arrivals, b.arrivals),
    writes: Math.max(a.writes, b.writes),
    related: sum(a.related, b.related),
  };
}

function sum<K>(a: ReadonlyMap<K, number>, b: ReadonlyMap<K, number>): ReadonlyMap<K, number> {
  if (b.size === 0) return a;
  const result = new Map(a);
  for (const [key, value] of b) result.set(key, (result.get(key) ?? 0) + value);
  return result;
}

/** `copied`: how often something else is copied into it. */
function finish(draft: Draft, copied: number): Range {
  const { members, segments, wishes, arrivals, related } = draft;
  const size = coverage(segments);
  const writes = Math.max(draft.writes, copied);
  const [arrival, ...others] = arrivals.keys();
  return {
    members,
    segments,
    size,
    weight: draft.isSpillable ? draft.uses / size : Number.POSITIVE_INFINITY,
    wishes,
    arrivesIn: writes > 0 || others.length > 0 ? undefined : arrival,
    writes: Math.max(writes, ...arrivals.values()),
    related,
  };
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
