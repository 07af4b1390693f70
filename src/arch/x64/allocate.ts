/**
 * Register allocation: a hardware register or a frame slot for each virtual register.
 *
 * Copies are joined where their ends are never in use at the same time. What is left is placed one by one, those first
 * that a certain register would serve best, then the largest, each in the register that costs least there. What finds no
 * place drives out what is cheaper to keep in memory (uses weighted by frequency, per length); what cannot is spilled,
 * the code rewritten, and all of it tried again.
 */
import { coalesce, type Range } from './coalesce.ts';
import { FIRST_VIRTUAL, type LirFunction, type VReg } from './lir.ts';
import { liveness, type Segments, visitRegisters } from './liveness.ts';
import { GENERAL_REGISTERS, type Reg } from './registers.ts';
import { spill } from './spill.ts';
import { Timeline } from './timeline.ts';

/** What changing a register costs that is not changed anyway: saving and restoring it. */
const CLOBBER_COST = 2;

/** The hardware register of each virtual one that occurs in the code, by its number. */
export type Assignment = readonly Reg[];

/** Decides all registers; rewrites the code where it needs spills. `preferred`: may be changed at no cost, best first. */
export function allocate(fn: LirFunction, preferred: readonly Reg[]): Assignment {
  for (;;) {
    const segments = liveness(fn);
    const ranges = coalesce(fn, segments, new Set(preferred));
    const allocation = new Allocation(fn, ranges, segments, preferred);
    const spilled = allocation.placeAll();
    if (spilled.length === 0) return allocation.assignment();
    spill(fn, spilled);
  }
}

/** One try to find a register for every range. */
class Allocation {
  readonly #ranges: readonly Range[];
  readonly #rangeOf = new Map<VReg, Range>();
  /** All registers, in the order of preference, each with its tenants. */
  readonly #timelines: ReadonlyMap<Reg, Timeline<Range>>;
  readonly #places = new Map<Range, Reg>();
  /** How often each register is changed, as far as decided. */
  readonly #changed: Map<Reg, number>;

  constructor(fn: LirFunction, ranges: readonly Range[], segments: readonly Segments[], preferred: readonly Reg[]) {
    const order = new Set([...preferred, ...GENERAL_REGISTERS]);
    this.#ranges = ranges;
    for (const range of ranges) for (const member of range.members) this.#rangeOf.set(member, range);
    this.#timelines = new Map([...order].map((register) => [register, new Timeline<Range>(segments[register]!)]));
    this.#changed = changedAnyway(fn, preferred);
  }

  /** Returns the ranges that found no place. */
  placeAll(): Range[] {
    const spilled: Range[] = [];
    const queue = this.#ranges.toSorted((a, b) => strongestWish(b) - strongestWish(a) || b.size - a.size);
    for (let n = 0; n < queue.length; n++) {
      const range = queue[n]!;
      const free = this.#cheapestFree(range);
      const taken = free === undefined ? this.#cheapestTaken(range) : undefined;
      if (free !== undefined) {
        this.#place(range, free);
      } else if (taken !== undefined) {
        queue.push(...taken.tenants);
        for (const tenant of taken.tenants) this.#remove(tenant);
        this.#place(range, taken.register);
      } else if (range.weight === Number.POSITIVE_INFINITY) {
        throw new RangeError('more registers are needed at once than there are');
      } else {
        spilled.push(range);
      }
    }
    return spilled;
  }

  assignment(): Assignment {
    const assignment: Reg[] = [];
    for (const [range, register] of this.#places) for (const member of range.members) assignment[member] = register;
    return assignment;
  }

  #cheapestFree(range: Range): Reg | undefined {
    let [best, bestCost]: [Reg | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
    for (const [register, timeline] of this.#timelines) {
      const cost = this.#cost(range, register);
      if (cost < bestCost && timeline.isFree(range.segments)) [best, bestCost] = [register, cost];
    }
    return best;
  }

  /** The register whose dearest tenant there is cheapest, if it is cheaper than `range`. */
  #cheapestTaken(range: Range): { register: Reg; tenants: Range[] } | undefined {
    let [best, bestWeight]: [{ register: Reg; tenants: Range[] } | undefined, number] = [undefined, range.weight];
    for (const [register, timeline] of this.#timelines) {
      const tenants = timeline.tenants(range.segments);
      const weight = Math.max(...(tenants ?? []).map((tenant) => tenant.weight));
      if (tenants !== undefined && weight < bestWeight) [best, bestWeight] = [{ register, tenants }, weight];
    }
    return best;
  }

  /** In instructions, weighted by how often they run. */
  #cost(range: Range, register: Reg): number {
    let cost = -(range.wishes.get(register) ?? 0);
    const writes = range.arrivesIn === register ? 0 : Math.min(range.writes, 1);
    if ((this.#changed.get(register) ?? 0) < writes) cost += CLOBBER_COST * writes;
    for (const [other, saved] of range.related) {
      if (this.#places.get(this.#rangeOf.get(other)!) === register) cost -= saved;
    }
    return cost;
  }

  #place(range: Range, register: Reg): void {
    this.#timelines.get(register)!.add(range.segments, range);
    this.#places.set(range, register);
    const writes = range.arrivesIn === register ? 0 : range.writes;
    this.#changed.set(register, Math.max(this.#changed.get(register) ?? 0, writes));
  }

  #remove(range: Range): void {
    this.#timelines.get(this.#places.get(range)!)!.remove(range.segments);
    this.#places.delete(range);
  }
}

function strongestWish({ wishes }: Range): number {
  return Math.max(0, ...wishes.values());
}

/** How often each hardware register is changed by name, or may be at no cost. */
function changedAnyway(fn: LirFunction, preferred: readonly Reg[]): Map<Reg, number> {
  const changed = new Map<Reg, number>(preferred.map((register) => [register, Number.POSITIVE_INFINITY]));
  for (const { insts, frequency } of fn.blocks) {
    for (const inst of insts) {
      visitRegisters(inst, (register, role) => {
        if (register >= FIRST_VIRTUAL || role === 'r') return;
        changed.set(register as Reg, Math.max(changed.get(register as Reg) ?? 0, frequency));
      });
    }
  }
  return changed;
}
