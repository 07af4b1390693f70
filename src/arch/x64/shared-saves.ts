/**
 * Programs that follow each other at one place save registers once, as long as no program reads one that another in front
 * of it has changed:
 *
 *     push <what any of them changes>
 *     body, body, ...
 *     pop <the same, backwards>
 *
 * A program that changes nothing stands alone: it needs no saves and finds the stack pointer as the site has it.
 */
import type { Assembler } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import type { Reg } from './registers.ts';

/** A program, and how far above rsp the stack pointer lies that it is to see as the site's, in bytes. */
export interface PlacedProgram {
  readonly program: LoweredProgram;
  readonly above: number;
}

/**
 * Writes programs one behind the other.
 *
 * @param decide called behind each program that has a result: the zero flag is set if that is zero
 */
export function emitPrograms(
  a: Assembler,
  programs: readonly PlacedProgram[],
  decide: (program: LoweredProgram) => void = () => {},
): void {
  for (const group of groupsOf(programs)) {
    emitGroup(a, group);
    const { program } = group.at(-1)!;
    if (program.result !== undefined) decide(program);
  }
}

function groupsOf(programs: readonly PlacedProgram[]): PlacedProgram[][] {
  const groups: PlacedProgram[][] = [];
  for (const placed of programs) {
    const last = groups.at(-1);
    if (last !== undefined && canJoin(last, placed.program)) last.push(placed);
    else groups.push([placed]);
  }
  return groups;
}

function canJoin(group: readonly PlacedProgram[], { clobbered, reads }: LoweredProgram): boolean {
  if (clobbered.size === 0 || group[0]!.program.clobbered.size === 0) return false;
  if (group.at(-1)!.program.result !== undefined) return false;
  return group.every(({ program }) => !intersects(program.clobbered, reads));
}

function emitGroup(a: Assembler, group: readonly PlacedProgram[]): void {
  const saved: readonly Reg[] = [...new Set(group.flatMap(({ program }) => [...program.clobbered]))];
  for (const reg of saved) a.push(reg);
  for (const { program, above } of group) program.emitBody(a, { siteStack: saved.length * 8 + above, saved });
  const { result } = group.at(-1)!.program;
  if (result !== undefined) a.test(result, result, 4);
  for (const reg of saved.toReversed()) a.pop(reg);
}

/** Registers that a program in front of, or behind, these may change at no cost, since they are saved there anyway. */
export function savedAnyway(programs: readonly LoweredProgram[]): Reg[] {
  const read = new Set(programs.flatMap(({ reads }) => [...reads]));
  const changed = new Set(programs.flatMap(({ clobbered }) => [...clobbered]));
  return [...changed].filter((register) => !read.has(register));
}

function intersects(a: ReadonlySet<Reg>, b: ReadonlySet<Reg>): boolean {
  for (const register of a) if (b.has(register)) return true;
  return false;
}
