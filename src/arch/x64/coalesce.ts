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
}

interface Draft {
  readonly members: readonly VReg[];
  readonly segments: Segments;
  readonly isSpillable: boolean;
  /** Reads and writes, by frequency. */
  readonly uses: number;
  readonly wishes: ReadonlyMap<Reg, number>;
  /** Hardware registers it is copied from. */
  readonly arrivals: ReadonlySet<Reg>;
  /** An instruction other than a copy writes it. */
  readonly isWritten: boolean;
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
  const copied = new Set<Draft>();
  for (const copy of copies) if (!joined.has(copy)) copied.add(current[copy.dst]!);
  return [...new Set(current)].filter((draft) => draft !== undefined).map((draft) => finish(draft, copied.has(draft)));
}

/** One draft for each virtual register in use, and the copies between them. */
function survey(fn: LirFunction, segments: readonly Segments[]): { drafts: (Draft | undefined)[]; copies: Copy[] } {
  const count = segments.length;
  const uses = new Float64Array(count);
  const isWritten = new Uint8Array(count);
  const wishes = new Map<VReg, Map<Reg, number>>();
  const arrivals = new Map<VReg, Set<Reg>>();
  const copies: Copy[] = [];

  for (const { insts, frequency } of fn.blocks) {
    for (const inst of insts) {
      visitRegisters(inst, (register, role) => {
        uses[register]! += frequency;
        if (role !== 'r' && inst.op !== 'copy') isWritten[register] = 1;
      });
      for (const [dst, src] of copiesOf(inst)) {
        if (dst >= FIRST_VIRTUAL && src >= FIRST_VIRTUAL) copies.push({ dst, src, frequency });
        else if (dst >= FIRST_VIRTUAL || src >= FIRST_VIRTUAL) {
          const [register, hardware] = dst >= FIRST_VIRTUAL ? [dst, src as Reg] : [src, dst as Reg];
          const wished = entry(wishes, register, () => new Map<Reg, number>());
          wished.set(hardware, (wished.get(hardware) ?? 0) + frequency);
          if (register === dst) entry(arrivals, register, () => new Set<Reg>()).add(hardware);
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
          arrivals: arrivals.get(register) ?? new Set(),
          isWritten: isWritten[register] === 1,
        },
  );
  return { drafts, copies };
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
  const isPrecious = ({ arrivals }: Draft) => [...arrivals].some((register) => !free.has(register));
  return (a.isWritten && isPrecious(b)) || (b.isWritten && isPrecious(a));
}

function join(a: Draft, b: Draft): Draft {
  const wishes = new Map(a.wishes);
  for (const [register, saved] of b.wishes) wishes.set(register, (wishes.get(register) ?? 0) + saved);
  return {
    members: [...a.members, ...b.members],
    segments: union(a.segments, b.segments),
    isSpillable: true,
    uses: a.uses + b.uses,
    wishes,
    arrivals: new Set([...a.arrivals, ...b.arrivals]),
    isWritten: a.isWritten || b.isWritten,
  };
}

function finish(draft: Draft, isCopiedInto: boolean): Range {
  const { members, segments, wishes, arrivals } = draft;
  const size = coverage(segments);
  const [arrival, ...others] = arrivals;
  return {
    members,
    segments,
    size,
    weight: draft.isSpillable ? draft.uses / size : Number.POSITIVE_INFINITY,
    wishes,
    arrivesIn: draft.isWritten || isCopiedInto || others.length > 0 ? undefined : arrival,
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
