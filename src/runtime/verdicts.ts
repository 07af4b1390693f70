/** Verdicts on programs, without anything around them: those of an object file, or bare bytecode. Touches no process. */
import { BpfError } from '../errors.ts';
import { PROTOTYPES } from '../helpers/kernel-prototypes.ts';
import type { Permission } from '../helpers/prototype.ts';
import { HELPERS } from '../helpers/table.ts';
import { decode } from '../insn/decode.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { SlotMap } from '../insn/layout.ts';
import { LddwKind } from '../insn/opcode.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { surveyObject } from '../object/read-object.ts';
import type { LinkedProgram, ObjectSurvey, Reference } from '../object/spec.ts';
import { readKernel } from '../sys/kernel.ts';
import { bareProgram } from '../verifier/bare-program.ts';
import { describeValue } from '../verifier/describe-value.ts';
import { kindOfSection, PROGRAM_KINDS, type ProgramKind } from '../verifier/program-kind.ts';
import { currentFrame, type State } from '../verifier/state.ts';
import { type Verdict, verify } from '../verifier/verify.ts';
import { RuntimeError } from './errors.ts';

/** What one program was found to be. */
export interface ProgramVerdict {
  readonly name: string;
  readonly section: string;
  /** undefined if it could not be linked. */
  readonly program: LinkedProgram | undefined;
  /** Why it is refused; undefined if it is accepted. */
  readonly error: BpfError | undefined;
  /** Helpers that it calls and that only have a prototype: it is judged by that, but cannot be loaded. */
  readonly missingHelpers: readonly string[];
  readonly insnsProcessed: number;
  readonly peakStates: number;
  readonly timeUs: number;
  /** Index of an instruction -> what registers hold before it, on some of the ways there; if that was asked for. */
  readonly states: ReadonlyMap<number, readonly string[]>;
}

export interface VerdictOptions {
  /** What the programs may change. */
  readonly allow?: readonly Permission[];
  /** How many states of each instruction to describe. Default: none. */
  readonly statesPerInsn?: number;
}

/** A map of bare bytecode, and the lddw instructions that load it, by their slots. */
export interface BareMap {
  readonly spec: MapSpec;
  readonly at: readonly number[];
}

/**
 * Verifies each program of an object, one after the other; what stands in the way of loading it is no reason to refuse.
 *
 * @throws {ElfError | BtfError | ObjectError} if nothing can be said about any program
 */
export function* verifyObject(file: Uint8Array, options: VerdictOptions = {}): Generator<ProgramVerdict> {
  const survey = surveyObject(file, readKernel());
  for (const { name, section, error } of survey.unlinked) {
    yield { name, section, program: undefined, error, ...NO_EFFORT };
  }
  for (const program of survey.programs) yield verdictOn(program, kindOfSection(program.section), survey, options);
}

/**
 * Verifies bytecode that stands for itself.
 *
 * @throws {RuntimeError} RUNTIME_BAD_MAP_PLACE
 */
export function verifyBare(
  name: string,
  code: Uint8Array,
  kind: ProgramKind['name'],
  maps: readonly BareMap[],
  options: VerdictOptions = {},
): ProgramVerdict {
  try {
    const program = bareProgramWithMaps(name, decode(code), maps);
    return verdictOn(program, PROGRAM_KINDS[kind], { maps: maps.map(({ spec }) => spec), btf: undefined }, options);
  } catch (error) {
    if (!(error instanceof BpfError) || error instanceof RuntimeError) throw error;
    return { name, section: '', program: undefined, error, ...NO_EFFORT };
  }
}

const NO_EFFORT = {
  missingHelpers: [],
  insnsProcessed: 0,
  peakStates: 0,
  timeUs: 0,
  states: new Map<number, readonly string[]>(),
};

function missingHelpers({ insns }: LinkedProgram): string[] {
  const names = new Set<string>();
  for (const insn of insns) {
    const operation = operationOf(insn);
    if (operation.kind !== 'call' || operation.callee !== 'helper' || HELPERS.has(insn.imm)) continue;
    const prototype = PROTOTYPES.get(insn.imm);
    if (prototype !== undefined) names.add(prototype.name);
  }
  return [...names];
}

function verdictOn(
  program: LinkedProgram,
  kind: ProgramKind,
  { maps, btf }: Pick<ObjectSurvey, 'maps' | 'btf'>,
  { allow = [], statesPerInsn = 0 }: VerdictOptions,
): ProgramVerdict {
  const states = new Map<number, string[]>();
  const observe = (state: State): void => {
    const known = states.get(state.insn) ?? [];
    if (known.length >= statesPerInsn) return;
    const text = describeState(state);
    if (!known.includes(text)) states.set(state.insn, [...known, text]);
  };
  const begun = performance.now();
  const verdict: Verdict = verify(program, {
    kind,
    helpers: PROTOTYPES,
    maps: new Map(maps.map((map) => [map.name, map])),
    btf,
    allow: new Set(allow),
    ...(statesPerInsn > 0 && { observe }),
  });
  const timeUs = Math.round((performance.now() - begun) * 1000);
  const error = verdict.verdict === 'reject' ? verdict.error : undefined;
  const { name, section } = program;
  return { name, section, program, error, missingHelpers: missingHelpers(program), ...verdict.effort, timeUs, states };
}

/** What the running function's registers hold, as the kernel's log shows it. */
function describeState(state: State): string {
  const depth = state.frames.length - 1;
  const held = currentFrame(state).registers.flatMap((value, register) =>
    value === undefined ? [] : [`R${register}=${describeValue(value)}`],
  );
  return `${depth > 0 ? `frame${depth}: ` : ''}${held.join(' ')}`;
}

function bareProgramWithMaps(name: string, insns: readonly Insn[], maps: readonly BareMap[]): LinkedProgram {
  const slots = new SlotMap(insns);
  const references = new Map<number, Reference>();
  for (const { spec, at } of maps) {
    for (const slot of at) {
      const index = slots.index(slot);
      const insn = index === undefined ? undefined : insns[index];
      if (index === undefined || insn?.imm64 === undefined) {
        throw new RuntimeError(
          'RUNTIME_BAD_MAP_PLACE',
          `cannot load map ${spec.name} at slot ${slot}: no lddw is there`,
        );
      }
      const isValue = insn.src === LddwKind.MAP_FD_VALUE || insn.src === LddwKind.MAP_INDEX_VALUE;
      references.set(
        index,
        isValue
          ? { kind: 'mapValue', map: spec.name, offset: Number(insn.imm64 >> 32n) }
          : { kind: 'map', map: spec.name },
      );
    }
  }
  for (const [index, insn] of insns.entries()) {
    if (insn.imm64 === undefined || insn.src !== LddwKind.FUNCTION) continue;
    const to = slots.index(insn.slot + 1 + insn.imm);
    if (to !== undefined) references.set(index, { kind: 'function', insn: to });
  }
  return bareProgram(name, insns, references);
}
