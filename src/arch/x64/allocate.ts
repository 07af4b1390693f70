/**
 * Register allocation: a hardware register or a frame slot for each virtual register.
 *
 * Copies are joined where their ends are never in use at the same time; what is left is placed largest first, each in
 * the register that costs least there. What finds no place drives out what is cheaper to keep in memory (uses weighted
 * by frequency, per length); what cannot is spilled, the code rewritten, and all of it tried again.
 */
import { coalesce, type Range } from './coalesce.ts';
import { FIRST_VIRTUAL, type LirFunction } from './lir.ts';
import { liveness, type Segments, visitRegisters } from './liveness.ts';
import { GENERAL_REGISTERS, type Reg } from './registers.ts';
import { spill } from './spill.ts';
import { Timeline } from './timeline.ts';

/** What changing a register costs that was not changed anyway: saving and restoring it. */
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
  const changed = new Set<Reg>([...preferred, ...changedAnyway(fn)]);
  const places = new Map<Range, Reg>();
  const spilled: Range[] = [];

  const costIn = (range: Range, register: Reg): number => {
    const clobber = range.arrivesIn === register || changed.has(register) ? 0 : CLOBBER_COST;
    return clobber - (range.wishes.get(register) ?? 0);
  };
  const place = (range: Range, register: Reg): void => {
    timelines.get(register)!.add(range.segments, range);
    places.set(range, register);
    if (range.arrivesIn !== register) changed.add(register);
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

  const queue = ranges.toSorted((a, b) => Number(b.wishes.size > 0) - Number(a.wishes.size > 0) || b.size - a.size);
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

/** Hardware registers that instructions change by name. */
function changedAnyway(fn: LirFunction): Set<Reg> {
  const changed = new Set<Reg>();
  for (const { insts } of fn.blocks) {
    for (const inst of insts) {
      visitRegisters(inst, (register, role) => {
        if (register < FIRST_VIRTUAL && role !== 'r') changed.add(register as Reg);
      });
    }
  }
  return changed;
}
