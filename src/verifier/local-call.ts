/** Calls between the functions of a program, and their returns. Source: Linux kernel/bpf/verifier.c, prepare_func_exit. */
import type { Callback } from '../helpers/prototype.ts';
import { checkGlobalArguments } from './global-function.ts';
import { S64_MAX, S64_MIN } from './interval.ts';
import { checkReferences } from './references.ts';
import { ANY } from './scalar.ts';
import { scratch } from './scratch.ts';
import { currentFrame, type Frame, newFrame, type State } from './state.ts';
import { END, number, read, refuse, type Step } from './step.ts';
import { markPrecise } from './value.ts';

/** The kernel's MAX_CALL_FRAMES. */
const MAX_FRAMES = 8;
const ARGUMENTS = [1, 2, 3, 4, 5];

/** Goes on in the function, or behind a call of one that is verified by itself. @returns index of the next instruction */
export function stepLocalCall(step: Step): number {
  const { index, frame, state, program } = step;
  const callee = step.calleeAt(index);
  const signature = step.globals.signatureOf(callee);
  if (signature !== undefined) {
    checkGlobalArguments(step, signature);
    scratch(step);
    frame.registers[0] = number(ANY);
    return index + 1;
  }
  const { registers } = enterFunction(step, state, callee, undefined);
  for (const register of ARGUMENTS) registers[register] = frame.registers[register];
  scratch(step);
  return program.subprograms[callee]!.start;
}

/** Puts a new function on top of the active ones. @throws {VerifierError} VERIFIER_TOO_MANY_FRAMES */
export function enterFunction(step: Step, state: State, callee: number, callback: Callback | undefined): Frame {
  if (state.frames.length === MAX_FRAMES) {
    const reason = `the call stack of ${MAX_FRAMES + 1} frames is too deep !`;
    throw refuse(step, 'VERIFIER_TOO_MANY_FRAMES', reason);
  }
  const frame = newFrame(callee, step.index, state.frames.length, callback);
  state.frames.push(frame);
  state.insn = step.program.subprograms[callee]!.start;
  return frame;
}

/** Goes back to the caller, or ends the path. @returns index of the next instruction */
export function stepExit(step: Step): number {
  const { state, frame } = step;
  const depth = state.frames.length - 1;
  if (depth === 0) return leaveMain(step);
  if (frame.callback !== undefined) return leaveCallback(step, frame.callback);

  const result = frame.registers[0];
  if (result?.kind === 'pointer' && result.region.kind === 'stack') {
    throw refuse(step, 'VERIFIER_BAD_RETURN', 'cannot return stack pointer to the caller');
  }
  state.frames.pop();
  state.references = state.references.map((held) => (held.frame < depth ? held : { ...held, frame: depth - 1 }));
  currentFrame(state).registers[0] = result;
  return frame.call + 1;
}

function leaveMain(step: Step): number {
  const { frame } = step;
  checkReferences(step, 0, 'BPF_EXIT instruction in main prog');
  const result = read(step, 0);
  if (frame.subprogram !== 0 && result.kind === 'pointer') {
    throw refuse(step, 'VERIFIER_BAD_RETURN', 'At subprogram exit the register R0 is not a scalar value');
  }
  return END;
}

/** The helper is looked at once more. */
function leaveCallback(step: Step, { returns: [min, max] }: Callback): number {
  const { state, frame } = step;
  checkReferences(step, state.frames.length - 1, 'BPF_EXIT instruction in callback');
  const result = read(step, 0);
  if (result.kind === 'pointer') throw refuse(step, 'VERIFIER_BAD_RETURN', 'R0 not a scalar value');
  markPrecise(result);
  const { smin, smax } = result.scalar;
  if (smin < min || smax > max) {
    const facts = [smin > S64_MIN ? ` smin=${smin}` : '', smax < S64_MAX ? ` smax=${smax}` : ''].join('');
    const reason = `At callback return the register R0 has${facts || ' unknown scalar value'} should have been in [${min}, ${max}]`;
    throw refuse(step, 'VERIFIER_BAD_RETURN', reason);
  }
  state.frames.pop();
  state.insn = frame.call;
  step.widen(state, ({ passes }) => passes < state.passes);
  return frame.call;
}
