/**
 * Functions that helpers call back. A helper that calls back is looked at again after every call, as if it were a loop:
 * one way calls once more, the other goes on behind it. Source: Linux kernel/bpf/verifier.c, push_callback_call.
 */
import type { Callback, CallbackArg } from '../helpers/prototype.ts';
import type { Call } from './helper-arguments.ts';
import { enterFunction } from './local-call.ts';
import { ANY } from './scalar.ts';
import { copyState, currentFrame } from './state.ts';
import { number, read } from './step.ts';
import { markPrecise, Pointer, type RegisterValue } from './value.ts';

const ARGUMENTS: Readonly<Record<CallbackArg, (call: Call) => RegisterValue>> = {
  scalar: () => number(ANY),
  map: ({ map }) => new Pointer({ kind: 'map', map: map! }),
  mapKey: ({ map }) => new Pointer({ kind: 'mapKey', map: map! }),
  mapValue: ({ map }) => new Pointer({ kind: 'mapValue', map: map! }),
  dynptr: () => new Pointer({ kind: 'dynptr', dynptr: { memory: 'local', reference: 0 } }),
  callbackContext: ({ step, prototype }) => read(step, prototype.args.indexOf('callbackContext') + 1),
};

/** Leaves one more call of the function for later, if it may be called once more. */
export function enterCallback(call: Call, callback: Callback): void {
  const { step, callee } = call;
  const { callbacks, invocation } = step.frame;
  // What follows on this path is behind the helper.
  step.frame.callbacks = 0;
  step.frame.invocation = {};
  if (callback.counted) {
    const times = read(step, 1);
    markPrecise(times);
    if (times.kind === 'scalar' && BigInt(callbacks) >= times.scalar.umax) return;
  }
  const next = copyState(step.state);
  currentFrame(next).callbacks = callbacks + 1;
  currentFrame(next).invocation = invocation;
  next.passes++;
  const frame = enterFunction(step, next, callee, callback);
  for (const [place, kind] of callback.args.entries()) frame.registers[place + 1] = ARGUMENTS[kind](call);
  step.later(next);
}
