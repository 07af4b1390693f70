/**
 * Register allocation: a hardware register or a frame slot for each virtual register.
 *
 * Copies are joined where their ends are never in use at the same time. What is left is placed one by one, those first
 * that a certain register would serve best, then the largest, each in the register that costs least there. What finds no place drives out what is cheaper to keep in memory (uses weighted
 * by frequency, per length); what cannot is spilled, the code rewritten, and all of it tried again.
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
    const { assignment, spilled } = assign(fn, ranges, segments, preferred);
    if (spilled.length === 0) return assignment;
    spill(fn, spilled);
  }
}

function assign(
  fn: LirFunction,
  ranges: readonly Range[],
  segments: readonly Segments[],
  preferred: readonly Reg[],
): { assignment: Reg[]; spilled: Range[] } {
  const order = [...preferred, ...GENERAL_REGISTERS.filter((register) => !preferred.includes(register))];
  const timelines = new Map(order.map((register) => [register, new Timeline<Range>(segments[register]!)]));
  const changed = changedAnyway(fn, preferred);
  const places = new Map<Range, Reg>();
  const rangeOf = new Map<VReg, Range>();
  for (const range of ranges) for (const member of range.members) rangeOf.set(member, range);
  const spilled: Range[] = [];

  const costIn = (range: Range, register: Reg): number => {
    let cost = -(range.wishes.get(register) ?? 0);
    const isSaved = (changed.get(register) ?? 0) >= Math.min(range.writes, 1);
    if (range.arrivesIn !== register && !isSaved) cost += CLOBBER_COST * range.writes;
    for (const [other, saved] of range.related) if (places.get(rangeOf.get(other)!) === register) cost -= saved;
    return cost;
  };
  const place = (range: Range, register: Reg): void => {
    timelines.get(register)!.add(range.segments, range);
    places.set(range, register);
    if (range.arrivesIn !== register) changed.set(register, Math.max(changed.get(register) ?? 0, range.writes));
  };
  const cheapestFree = (range: Range): Reg | undefined => {
    let [best, bestCost]: [Reg | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
    for (const register of order) {
      const cost = costIn(range, register);
      if (cost < bestCost && timelines.get(register)!.isFree(range.segments)) [best, bestCost] = [register, cost];
    }
    return best;
  };
  /** Frees the register whose dearest tenant there is cheapest, if all are cheaper than `range`. */
  const driveOut = (range: Range): { register: Reg; tenants: Range[] } | undefined => {
    let [best, bestWeight]: [{ register: Reg; tenants: Range[] } | undefined, number] = [undefined, range.weight];
    for (const register of order) {
      const tenants = timelines.get(register)!.tenants(range.segments);
      if (tenants === undefined) continue;
      const weight = Math.max(...tenants.map((tenant) => tenant.weight));
      if (weight < bestWeight) [best, bestWeight] = [{ register, tenants }, weight];
    }
    return best;
  };

  const strongestWish = ({ wishes }: Range) => Math.max(0, ...wishes.values());
  const queue = ranges.toSorted((a, b) => strongestWish(b) - strongestWish(a) || b.size - a.size);
  for (let n = 0; n < queue.length; n++) {
    const range = queue[n]!;
    const free = cheapestFree(range);
    if (free !== undefined) {
      place(range, free);
      continue;
    }
    const evicted = driveOut(range);
    if (evicted !== undefined) {
      for (const tenant of evicted.tenants) {
        timelines.get(evicted.register)!.remove(tenant.segments);
        places.delete(tenant);
        queue.push(tenant);
      }
      place(range, evicted.register);
    } else if (range.weight === Number.POSITIVE_INFINITY) {
      throw new RangeError('more registers are needed at once than there are');
    } else {
      spilled.push(range);
    }
  }

  const assignment: Reg[] = [];
  for (const [range, register] of places) for (const member of range.members) assignment[member] = register;
  return { assignment, spilled };
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
