/** The ways a program can begin: at a site, with a context there, or as a function of memory. */
import type { Value } from '../ir/value.ts';
import { type ContextModel, emitContext } from './context-model.ts';
import type { ProgramEntry } from './program.ts';

/** r1 is the context of a site. */
export function siteEntry(model: ContextModel): ProgramEntry {
  let context: Value | undefined;
  return {
    paramCount: 0,
    functionIp: model.functionIp,
    emit(b) {
      context = emitContext(b, model);
      return [context];
    },
    isContext: (value) => value === context,
  };
}

/** r1 and r2 are params: the address of memory and its size. For `vm` and for tests. */
export const MEMORY_ENTRY: ProgramEntry = {
  paramCount: 2,
  functionIp: { in: 'constant', value: 0n },
  emit: (b) => b.params(),
  isContext: () => false,
};
