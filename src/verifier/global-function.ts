/**
 * Functions that are not static: verified once, for anything that fits the types of their arguments, and called by them.
 * Source: Linux kernel/bpf/btf.c, btf_prepare_func_args; kernel/bpf/verifier.c, btf_check_func_arg_match.
 */
import { typeName } from './describe-value.ts';
import { VerifierError } from './errors.ts';
import { type Argument, checkMemory } from './helper-arguments.ts';
import { ANY, constantOf } from './scalar.ts';
import type { Parameter, Signature } from './signature.ts';
import { newFrame, type State } from './state.ts';
import { number, read, refuse, type Step } from './step.ts';
import { Pointer, type RegisterValue } from './value.ts';

/** The state in which such a function begins. */
export function initialState(subprogram: number, insn: number, parameters: readonly Parameter[]): State {
  const frame = newFrame(subprogram, 0, 0);
  for (const [place, parameter] of parameters.entries()) frame.registers[place + 1] = anyOf(parameter);
  return { insn, frames: [frame], references: [], passes: 0 };
}

/** Checks what is given. @throws {VerifierError} VERIFIER_BAD_ARGUMENT, and what memory accesses throw */
export function checkGlobalArguments(step: Step, signature: Signature): void {
  if (signature.reason !== undefined) throw bad(step, signature.reason);
  for (const [place, parameter] of signature.parameters.entries()) {
    const register = place + 1;
    try {
      CHECKS[parameter.kind](step, { register, value: read(step, register) }, parameter as never);
    } catch (error) {
      throw error instanceof VerifierError ? inCall(step, error) : error;
    }
  }
}

/** The same error, and of which call it is. */
function inCall(step: Step, { code, reason }: VerifierError): Error {
  const callee = step.calleeAt(step.index);
  const name = step.program.subprograms[callee]?.name;
  return refuse(step, code, `${reason}: Caller passes invalid args into func#${callee} ('${name}')`);
}

const CHECKS: {
  readonly [K in Parameter['kind']]: (step: Step, given: Argument, wanted: Extract<Parameter, { kind: K }>) => void;
} = {
  scalar(step, { register, value }) {
    if (value.kind !== 'scalar') throw bad(step, `R${register} is not a scalar`);
  },
  context(step, { register, value }) {
    const isContext =
      value.kind === 'pointer' &&
      value.region.kind === 'context' &&
      value.offset === 0 &&
      constantOf(value.variable) === 0n;
    if (!isContext) throw bad(step, `arg#${register - 1} expects pointer to ctx`);
  },
  task: (step, given, { orNull }) => checkTask(step, given, orNull),
  memory(step, { register, value }, { size, orNull }) {
    if (value.kind === 'scalar') {
      if (orNull && constantOf(value.scalar) === 0n) return;
      throw bad(step, `R${register} type=scalar expected=fp`);
    }
    if (value.orNull && !orNull) throw bad(step, `arg#${register - 1} is expected to be non-NULL`);
    const { region, offset, variable } = value;
    if (
      region.kind === 'context' ||
      region.kind === 'map' ||
      region.kind === 'task' ||
      region.kind === 'function' ||
      region.kind === 'dynptr'
    ) {
      throw bad(step, `R${register} type=${typeName(value)} expected=fp`);
    }
    const pointer = new Pointer(region, false, offset, variable);
    checkMemory(step, { register, value: pointer }, size, 'read');
    checkMemory(step, { register, value: pointer }, size, 'write');
  },
};

/** Things that only helpers look into. */
function checkTask(step: Step, { register, value }: Argument, orNull: boolean): void {
  if (value.kind === 'scalar' && orNull && constantOf(value.scalar) === 0n) return;
  const isTask = value.kind === 'pointer' && value.region.kind === 'task' && (orNull || !value.orNull);
  if (!isTask) throw bad(step, `R${register} type=${typeName(value)} expected=ptr_, trusted_ptr_, rcu_ptr_`);
}

function anyOf(parameter: Parameter): RegisterValue {
  switch (parameter.kind) {
    case 'scalar':
      return number(ANY);
    case 'context':
      return new Pointer({ kind: 'context' });
    case 'task':
      return new Pointer({ kind: 'task' }, parameter.orNull);
    case 'memory': {
      const { size, orNull } = parameter;
      return new Pointer({ kind: 'memory', size, writable: true, reference: 0, origin: 'argument' }, orNull);
    }
  }
}

function bad(step: Step, reason: string): Error {
  return refuse(step, 'VERIFIER_BAD_ARGUMENT', reason);
}
