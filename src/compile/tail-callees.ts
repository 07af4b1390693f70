/**
 * Which programs of an object may go on in place of which: those of the same kind as the ones that use a map of programs. As in the
 * kernel a program that answers calls in place of the target may not (bpf_prog_map_compatible). Nor may one whose functions
 * make tail calls, which the kernel lets: its functions would wait for programs whose functions wait, each on more stack.
 */
import type { BpfError } from '../errors.ts';
import type { Prototype } from '../helpers/prototype.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { kindOfSection } from '../verifier/program-kind.ts';
import { tailCallers } from '../verifier/tail-call.ts';
import { callsAny } from './program-calls.ts';

/** A program by the number that maps of programs have for it. */
export interface TailCallee {
  /** From 1. */
  readonly number: number;
  readonly program: VerifiedProgram;
}

/** One map of programs. */
export interface ProgramArray {
  readonly callees: readonly TailCallee[];
  /** Why a program is not among them. */
  whyNot(program: VerifiedProgram): string | undefined;
  /** Whether it is not only for the kernel's reasons. */
  isOurLimit(program: VerifiedProgram): boolean;
}

/** What tail calls of a program need to know of its object. */
export interface TailCallOptions {
  /** By name of the map. */
  readonly arrays: ReadonlyMap<string, ProgramArray>;
  /** Is told of a program that cannot run where it would have to; it throws if that must not be. */
  leaveOut(program: VerifiedProgram, error: BpfError): void;
}

/** The programs that may come after one, by tail calls of it or of those that come then: in the order of their numbers. */
export function calleesOf(program: VerifiedProgram, options: TailCallOptions | undefined): readonly TailCallee[] {
  const found = new Map<number, TailCallee>();
  const pending = [program];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const reference of next.references.values()) {
      const array = reference.kind === 'map' ? options?.arrays.get(reference.map) : undefined;
      for (const callee of array?.callees ?? []) {
        if (found.has(callee.number)) continue;
        found.set(callee.number, callee);
        pending.push(callee.program);
      }
    }
  }
  return [...found.values()].sort((a, b) => a.number - b.number);
}

/** The maps of programs of an object, by name. */
export function programArrays(
  programs: readonly VerifiedProgram[],
  maps: readonly MapSpec[],
  helpers: ReadonlyMap<number, Prototype>,
): ReadonlyMap<string, ProgramArray> {
  const arrays = maps.filter((spec) => mapTypeOf(spec).holds === 'programs');
  return new Map(arrays.map(({ name }) => [name, programArray(name, programs, helpers)]));
}

function programArray(
  map: string,
  programs: readonly VerifiedProgram[],
  helpers: ReadonlyMap<number, Prototype>,
): ProgramArray {
  const users = programs.filter(({ references }) =>
    [...references.values()].some((reference) => reference.kind === 'map' && reference.map === map),
  );
  const inFunctions = (program: VerifiedProgram) => [...tailCallers(program, helpers)].some((caller) => caller !== 0);
  const kindOf = ({ section }: VerifiedProgram) => kindOfSection(section).name;
  const whyNotInKernel = (program: VerifiedProgram): string | undefined => {
    const other = users.find((user) => kindOf(user) !== kindOf(program));
    if (other !== undefined)
      return `it is a ${kindOf(program)}, and ${other.name}, which uses the map, a ${kindOf(other)}`;
    if (callsAny(program.insns, (id) => helpers.get(id)?.requires.includes('override') === true)) {
      return 'it answers calls in place of the target';
    }
    return undefined;
  };
  const whyNot = (program: VerifiedProgram): string | undefined =>
    whyNotInKernel(program) ??
    (inFunctions(program) ? 'functions of it make tail calls: it can be attached only' : undefined);
  const callees = programs.flatMap((program, index) =>
    users.length === 0 || whyNot(program) !== undefined ? [] : [{ number: index + 1, program }],
  );
  const isOurLimit = (program: VerifiedProgram): boolean =>
    whyNot(program) !== undefined && whyNotInKernel(program) === undefined;
  return { callees, whyNot, isOurLimit };
}
