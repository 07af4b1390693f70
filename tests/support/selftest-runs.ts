/**
 * Programs of an outside set that say what they return, run on a context of zeros: natively in a child where they need
 * neither maps nor helpers, and in the interpreter. What cannot be run is told by name, with the reason.
 */
import { HELPERS } from '../../src/helpers/table.ts';
import { operationOf } from '../../src/insn/form.ts';
import { MAP_TYPES } from '../../src/maps/table.ts';
import type { VerifiedProgram } from '../../src/verifier/check-structure.ts';
import { verify } from '../../src/verifier/verify.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { InterpreterWorld } from '../../src/vm/world.ts';
import { nativeCode } from './compiling.ts';
import { CODE_ADDRESS, NativeRunner } from './native-runner.ts';
import { type VerifierSubject, verifyOptions } from './verifier-subject.ts';

/** A program and what it returns. */
export interface Returning {
  readonly name: string;
  readonly subject: VerifierSubject;
  /** The low 32 bits count. */
  readonly retval: bigint;
}

/** What came of one. `natively` and `interpreted`: what it returned, or why it was not run. */
export interface Returned {
  readonly name: string;
  readonly retval: bigint;
  readonly natively: bigint | string;
  readonly interpreted: bigint | string;
}

const CONTEXT_SIZE = 168;
const STEP_LIMIT = 10_000_000;
const BATCH = 32;

/** Runs all of them. */
export async function runReturning(all: readonly Returning[]): Promise<Returned[]> {
  const programs = all.map(({ subject }) => verified(subject));
  const natively: (bigint | string)[] = programs.map((program) =>
    program === undefined ? 'refused' : (whyNotNative(program) ?? ''),
  );
  const codes = programs.map((program, n) => (natively[n] === '' ? codeOf(program!) : undefined));
  for (const [n, code] of codes.entries()) if (typeof code === 'string') natively[n] = code;
  using runner = new NativeRunner();
  const ready = codes.flatMap((code, n) => (code instanceof Uint8Array ? [{ n, code }] : []));
  for (let from = 0; from < ready.length; from += BATCH) {
    const batch = ready.slice(from, from + BATCH);
    const outcomes = await runner.run(batch.map(({ code }) => ({ code, memory: new Uint8Array(CONTEXT_SIZE) })));
    for (const [place, outcome] of outcomes.entries()) {
      natively[batch[place]!.n] = 'result' in outcome ? outcome.result : `died: ${outcome.died}`;
    }
  }
  return all.map(({ name, subject, retval }, n) => {
    const program = programs[n];
    const interpreted = program === undefined ? 'refused' : interpret(program, subject);
    return { name, retval, natively: natively[n]!, interpreted };
  });
}

/** True if what came back is what was said. */
export function isRight(result: bigint | string, retval: bigint): boolean {
  return typeof result === 'bigint' && BigInt.asUintN(32, result) === BigInt.asUintN(32, retval);
}

function verified(subject: VerifierSubject): VerifiedProgram | undefined {
  const verdict = verify(subject.program, verifyOptions(subject));
  return verdict.verdict === 'accept' ? verdict.program : undefined;
}

function whyNotNative({ insns, references }: VerifiedProgram): string | undefined {
  if ([...references.values()].some((reference) => 'map' in reference)) return 'needs maps';
  const callsHelper = insns.some((insn) => {
    const operation = operationOf(insn);
    return operation.kind === 'call' && operation.callee === 'helper';
  });
  return callsHelper ? 'needs helpers' : undefined;
}

function codeOf(program: VerifiedProgram): Uint8Array | string {
  try {
    return nativeCode(program, CODE_ADDRESS);
  } catch (error) {
    return `not compiled: ${messageOf(error)}`;
  }
}

function interpret(program: VerifiedProgram, { maps }: VerifierSubject): bigint | string {
  try {
    const world = new InterpreterWorld(maps.filter((map) => MAP_TYPES.has(map.type)));
    return new Interpreter(program, { helpers: HELPERS, world, stepLimit: STEP_LIMIT }).run(
      new Uint8Array(CONTEXT_SIZE),
    );
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
