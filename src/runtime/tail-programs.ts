/**
 * The programs of an object in its maps of programs: by number there, by name for people, and by what they are for whoever puts them
 * in. A program that could not run where others make tail calls is kept out.
 */
import type { ProgramArray, TailCallOptions } from '../compile/tail-callees.ts';
import { programArrays } from '../compile/tail-callees.ts';
import type { BpfError } from '../errors.ts';
import { HELPERS } from '../helpers/table.ts';
import { Errno, type MapSpec } from '../maps/map-type.ts';
import { runsInKernelOnly } from '../object/autoload.ts';
import type { LinkedProgram } from '../object/spec.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import type { BpfMap, HeldThings } from './bpf-map.ts';
import type { BpfProgram } from './bpf-program.ts';
import { RuntimeError } from './errors.ts';

export class TailPrograms implements TailCallOptions {
  readonly arrays: ReadonlyMap<string, ProgramArray>;
  readonly #programs: readonly BpfProgram[];
  readonly #maps: readonly BpfMap[];
  /** What could not be compiled where a tail call might lead to it, by name, and why. */
  readonly #leftOut = new Map<string, BpfError>();

  /**
   * Puts programs where the object says that they are from the beginning.
   *
   * @throws {RuntimeError} RUNTIME_BAD_SLOT
   */
  constructor(programs: readonly BpfProgram[], maps: readonly BpfMap[]) {
    this.#programs = programs;
    this.#maps = maps.filter(({ holds }) => holds === 'programs');
    this.arrays = programArrays(
      programs.map(({ verified }) => verified),
      maps.map(({ spec }) => spec),
      HELPERS,
    );
    for (const map of this.#maps) {
      map.hold(this.#thingsOf(map.name));
      for (const { index, name } of map.spec.initialSlots ?? []) this.#fill(map, index, name);
    }
  }

  leaveOut(program: VerifiedProgram, error: BpfError): void {
    const { name } = program;
    const holder = this.#maps.find((map) => map.entries().some(({ value }) => value === name));
    if (holder !== undefined) {
      throw new RuntimeError('RUNTIME_BAD_SLOT', `cannot have ${name} go on from map ${holder.name}`, { cause: error });
    }
    this.#leftOut.set(name, error);
  }

  #thingsOf(map: string): HeldThings {
    return {
      nameOf: (number) => this.#programs[number - 1]?.name,
      numberOf: (thing) => {
        const program = this.#programs.find((one) => one === thing);
        if (program === undefined) return -Errno.EBADF;
        const { verified, name } = program;
        const array = this.arrays.get(map)!;
        const why = array.whyNot(verified);
        if (array.isOurLimit(verified)) throw badSlot(name, map, why!);
        if (why !== undefined) return -Errno.EINVAL;
        const cause = this.#leftOut.get(name);
        if (cause === undefined) return 1 + this.#programs.indexOf(program);
        throw new RuntimeError('RUNTIME_BAD_SLOT', `cannot put ${name} into map ${map}`, { cause });
      },
    };
  }

  #fill(map: BpfMap, index: number, name: string): void {
    const program = this.#programs.find((one) => one.name === name);
    if (program === undefined) throw badSlot(name, map.name, 'it is no program of the object');
    const result = map.update(index, program);
    if (result === 0) return;
    throw badSlot(name, map.name, this.arrays.get(map.name)!.whyNot(program.verified) ?? `error ${-result}`);
  }
}

function badSlot(program: string, map: string, why: string): RuntimeError {
  return new RuntimeError('RUNTIME_BAD_SLOT', `cannot put ${program} into map ${map}: ${why}`);
}

/** Whether a program is there to go on from a map: its object puts it into one, and it would not be attached by itself. */
export function onlyFollows(program: LinkedProgram, maps: readonly MapSpec[]): boolean {
  const { name, section, isOptional } = program;
  if (/[/:]/.test(section) && !isOptional && !runsInKernelOnly(section)) return false;
  return maps.some(({ initialSlots = [] }) => initialSlots.some((slot) => slot.name === name));
}
