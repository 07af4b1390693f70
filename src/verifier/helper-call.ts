/** Calls of helpers: whether this program may, what the arguments must be, and what comes back. */
import { kernelHelperName } from '../helpers/kernel-names.ts';
import type { Prototype, ReturnType } from '../helpers/prototype.ts';
import { enterCallback } from './callback.ts';
import { constantMapKey } from './constant-map.ts';
import { type Call, checkArguments } from './helper-arguments.ts';
import { drawFrom } from './iterator.ts';
import { checkMapCompatibility } from './map-compatibility.ts';
import { acquireReference, releaseReference } from './references.ts';
import { ANY, constantScalar, signedRange, unsignedRange } from './scalar.ts';
import { scratch } from './scratch.ts';
import { number, refuse, type Step } from './step.ts';
import { leaveByTailCall } from './tail-call.ts';
import { Pointer, type RegisterValue } from './value.ts';

const MAX_ERRNO = 4095n;
/** Linux on x86-64 has at most 8192 processors. */
const MAX_CPU = 8191n;

const RESULTS: Readonly<Record<ReturnType, (call: Call) => RegisterValue | undefined>> = {
  scalar: () => number(ANY),
  cpuNumber: () => number(unsignedRange(0n, MAX_CPU)),
  void: () => undefined,
  mapValueOrNull: lookedUp,
  sizeOrError: ({ maxSize }) => number(signedRange(-MAX_ERRNO, maxSize)),
  ringbufMemoryOrNull: ({ step, allocation }) =>
    new Pointer(
      { kind: 'memory', size: allocation, writable: true, reference: acquireReference(step), origin: 'ringbuf' },
      true,
    ),
  dynptrMemoryOrNull: ({ allocation, dynptr }) =>
    new Pointer(
      { kind: 'memory', size: allocation, writable: true, reference: 0, origin: 'dynptr', dynptr: dynptr! },
      true,
    ),
  registers: ({ step }) => (step.options.kind.name === 'uprobe' ? new Pointer({ kind: 'context' }) : number(ANY)),
  task: () => new Pointer({ kind: 'task' }),
  // That there is one is another way: see drawFrom.
  drawnNumberOrNull: () => number(constantScalar(0n)),
};

/** Goes on behind the call, or in what it calls back. @returns index of the next instruction */
export function stepHelper(step: Step): number {
  const prototype = step.options.helpers.get(step.insn.imm);
  if (prototype === undefined || prototype.untraced || prototype.isKernelFunction) throw unavailable(step);
  return stepPrototype(step, prototype);
}

/** The same for what a call is known to mean. */
export function stepPrototype(step: Step, prototype: Prototype): number {
  checkAllowed(step, prototype);
  const call = checkArguments(step, prototype);
  checkMapCompatibility(step, prototype, call.map);
  if (call.map !== undefined) step.useMap(call.map);
  if (prototype.leaves) leaveByTailCall(step);
  if (prototype.callback !== undefined) enterCallback(call, prototype.callback);
  if (call.released !== 0) releaseReference(step.state, call.released);
  const result = RESULTS[prototype.returns](call);
  scratch(step);
  step.frame.registers[0] = result;
  if (call.drawn !== undefined) drawFrom(step, call.drawn);
  return step.index + 1;
}

function unavailable(step: Step): Error {
  const { imm } = step.insn;
  const missing = step.program.missing?.get(step.index);
  if (missing !== undefined) {
    return refuse(step, 'VERIFIER_NO_SUCH_FIELD', `failed to resolve CO-RE relocation: ${missing} is not there`);
  }
  const name = kernelHelperName(imm);
  if (name === undefined) return refuse(step, 'VERIFIER_UNKNOWN_HELPER', `invalid func unknown#${imm}`);
  return refuse(step, 'VERIFIER_UNKNOWN_HELPER', `program of this type cannot use helper ${name}#${imm}`);
}

function checkAllowed(step: Step, { name, requires }: Prototype): void {
  for (const requirement of requires) {
    if (requirement === 'syscall' || step.options.allow.has(requirement)) continue;
    throw refuse(
      step,
      'VERIFIER_NOT_ALLOWED',
      `program of this type cannot use helper ${name}: it needs --allow ${requirement}`,
    );
  }
}

/** A map of maps gives a map. A value of an array of the object is there if its index is known to be small enough. */
function lookedUp({ step, map, key }: Call): RegisterValue {
  const { innerMap, maxEntries } = map!;
  if (innerMap !== undefined) return new Pointer({ kind: 'map', map: innerMap }, true);
  const isOfObject = step.options.maps.get(map!.name) === map;
  const index = isOfObject && key ? constantMapKey(step, map!, key) : undefined;
  return new Pointer({ kind: 'mapValue', map: map! }, !(index !== undefined && index < maxEntries));
}
