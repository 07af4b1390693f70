/** Verdicts on generated programs, ours beside the kernel's. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SyscallError } from '../../benchmarks/kernel/syscall.ts';
import { operationOf } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { surveyObject } from '../../src/object/read-object.ts';
import { VmError, type VmErrorCode } from '../../src/vm/errors.ts';
import { FORGOTTEN_RANGE, IMPOSSIBLE_PATH, policyDifference, UNSEEN_END } from '../verifier/policy-differences.ts';
import { believedStates, watchRuns } from './believed-states.ts';
import type { KernelOracle, KernelVerdict } from './kernel-oracle.ts';
import { minimise } from './minimise.ts';
import { COMPILERS, objectFile, objectNames } from './objects.ts';
import { canBeEdited, mutate } from './program-edits.ts';
import { Random } from './random-program.ts';
import { toldProgram } from './told-ranges.ts';
import { randomSubject } from './verifier-programs.ts';
import { type OurVerdict, ourVerdict, type VerifierSubject } from './verifier-subject.ts';

/** Both verdicts on one program. */
export interface Comparison {
  readonly seed: number;
  readonly subject: VerifierSubject;
  readonly ours: OurVerdict;
  readonly kernel: KernelVerdict;
  /** `unsafe`: the kernel refuses what we accept; `strict`: the reverse; otherwise the name of a difference in policy. */
  readonly outcome: 'accepted' | 'refused' | 'unsafe' | 'strict' | 'bug' | { readonly policy: string };
}

/** Programs that seeds are turned into: random ones, and mutations of random and of real ones. */
export class SubjectSource {
  readonly #real: readonly VerifierSubject[];

  /** @param directory of an outside set of objects, if there is one */
  constructor(directory?: string) {
    this.#real = [...ownSubjects(), ...(directory === undefined ? [] : outsideSubjects(directory))];
  }

  /** The program of a seed; some seeds have none. */
  make(seed: number): VerifierSubject | undefined {
    const random = new Random(seed ^ 0x5eed);
    const isReal = this.#real.length > 0 && random.chance(0.3);
    const subject = isReal ? random.pick(this.#real) : randomSubject(seed);
    if (!isReal && random.chance(0.5)) return subject;
    const program = mutate(subject.program, random);
    return program && { ...subject, btf: undefined, program };
  }
}

/** Asks both. */
export function compare(seed: number, subject: VerifierSubject, oracle: KernelOracle): Comparison {
  const kernel = oracle.verdict(subject);
  const ours = verdictOrBug(subject);
  return { seed, subject, ours, kernel, outcome: outcomeOf(seed, subject, ours, kernel, oracle) };
}

/** Asks both; undefined where the kernel has no verdict, since it does not make one of the maps. */
export function tryCompare(seed: number, subject: VerifierSubject, oracle: KernelOracle): Comparison | undefined {
  try {
    return compare(seed, subject, oracle);
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}

/** The same disagreement in as few instructions as possible. */
export function reduce(found: Comparison, oracle: KernelOracle): Comparison {
  let best = found;
  minimise(found.subject.program, (program) => {
    const candidate = compare(found.seed, { ...found.subject, program }, oracle);
    if (kindOf(candidate) !== kindOf(found)) return false;
    best = candidate;
    return true;
  });
  return best;
}

/** What a disagreement is about: who refuses and in which words, numbers left out. */
export function kindOf({ outcome, ours, kernel }: Comparison): string {
  if (typeof outcome !== 'string') return `policy: ${outcome.policy}`;
  const message = outcome === 'unsafe' ? kernel.message : ours.message;
  const words = message.split('\n').find((line) => !/^(\d+: |from \d+ to|; )/.test(line)) ?? '';
  return `${outcome}: ${words.replace(/-?\b(0x[0-9a-f]+|\d+)\b/g, 'N').replace(/\bR\d+/g, 'R')}`;
}

const BUG = 'BUG: ';

function verdictOrBug(subject: VerifierSubject): OurVerdict {
  try {
    return ourVerdict(subject);
  } catch (error) {
    const message =
      error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 3).join(' ') : `${error}`;
    return { accepted: false, message: BUG + message, slot: undefined, processed: 0 };
  }
}

function outcomeOf(
  seed: number,
  subject: VerifierSubject,
  ours: OurVerdict,
  kernel: KernelVerdict,
  oracle: KernelOracle,
): Comparison['outcome'] {
  if (ours.message.startsWith(BUG)) return 'bug';
  if (ours.accepted === kernel.accepted) return ours.accepted ? 'accepted' : 'refused';
  const policy = policyDifference(subject.program.insns, ours, kernel);
  if (policy !== undefined) return { policy: policy.name };
  if (!ours.accepted) return 'strict';
  if (isNeverReached(seed, subject, oracle)) return { policy: IMPOSSIBLE_PATH.name };
  if (isForgottenRange(seed, subject, kernel, oracle)) return { policy: FORGOTTEN_RANGE.name };
  return isUnseenEnd(seed, subject, kernel) ? { policy: UNSEEN_END.name } : 'unsafe';
}

/** True if every run comes to an exit. */
function isUnseenEnd(seed: number, subject: VerifierSubject, kernel: KernelVerdict): boolean {
  const believed = UNSEEN_END.kernel.test(kernel.message) ? believedStates(subject) : undefined;
  return believed !== undefined && runsAsBelieved(seed, subject, believed, UNSEEN_END.runs, []);
}

/** True if the kernel takes the program once it is told our ranges, and runs do not leave them. */
function isForgottenRange(
  seed: number,
  subject: VerifierSubject,
  kernel: KernelVerdict,
  oracle: KernelOracle,
): boolean {
  const believed = FORGOTTEN_RANGE.kernel.test(kernel.message) ? believedStates(subject) : undefined;
  const told = believed && toldProgram(subject.program, believed);
  if (told === undefined || !oracle.verdict({ ...subject, program: told }).accepted) return false;
  return runsAsBelieved(seed, subject, believed!, FORGOTTEN_RANGE.runs);
}

const SHOWS_NOTHING: readonly VmErrorCode[] = ['VM_UNSUPPORTED', 'VM_STEP_LIMIT', 'VM_UNKNOWN_HELPER'];

/** @throws {AssertionError} where a run comes to what was not looked at, or holds what was not believed */
function runsAsBelieved(...[seed, subject, believed, runs, passedOver]: Parameters<typeof watchRuns>): boolean {
  try {
    watchRuns(seed, subject, believed, runs, passedOver);
    return true;
  } catch (error) {
    // What the interpreter does not do, or come to the end of, shows nothing.
    if (error instanceof VmError && SHOWS_NOTHING.includes(error.code)) return false;
    throw error;
  }
}

/** True if on the path that the kernel refuses is an instruction that we never come to, and that no run comes to either. */
function isNeverReached(seed: number, subject: VerifierSubject, oracle: KernelOracle): boolean {
  const log = oracle.verdict(subject, 'full').message;
  const [lastPath] = log.split(/^from \d+ to \d+.*$/m).slice(-1);
  const slots = [...lastPath!.matchAll(/^(\d+): \(/gm)].map(([, slot]) => Number(slot));
  const believed = believedStates(subject);
  if (believed === undefined) return false;
  const reached = new Set([...believed.keys()].map((key) => subject.program.insns[Number(key.split(' ')[0])]!.slot));
  if (slots.every((slot) => reached.has(slot))) return false;
  return runsAsBelieved(seed, subject, believed, IMPOSSIBLE_PATH.runs);
}

/** Objects that are refused before anybody looks at their programs. */
const UNREADABLE = ['unsupported-data-pointer'];

function ownSubjects(): VerifierSubject[] {
  return COMPILERS.flatMap((compiler) =>
    objectNames(compiler)
      .filter((name) => !UNREADABLE.includes(name))
      .flatMap((name) => subjectsOf(objectFile(name, compiler))),
  );
}

function outsideSubjects(directory: string): VerifierSubject[] {
  const rows: { object: string }[] = JSON.parse(readFileSync(join(directory, 'expect.json'), 'utf8'));
  const names = [...new Set(rows.map(({ object }) => object))];
  return names.flatMap((name) => subjectsOf(readFileSync(join(directory, 'objects', name))));
}

/** The kernel is asked without the object's types, so programs with global functions, or functions of the kernel, are left out. */
function subjectsOf(file: Uint8Array): VerifierSubject[] {
  const { programs, maps } = surveyObject(file);
  return programs
    .filter(({ subprograms }) => subprograms.slice(1).every(({ linkage }) => linkage === 'static'))
    .filter(({ insns }) => !insns.some(callsKernel))
    .filter((program) => canBeEdited(program))
    .map((program) => ({ program, maps, type: 'uprobe' }));
}

function callsKernel(insn: Insn): boolean {
  const operation = operationOf(insn);
  return operation.kind === 'call' && operation.callee === 'kfunc';
}
