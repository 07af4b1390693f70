/** The ways a program can begin: at a site, with a context there, or as a function of memory. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { type ContextModel, emitContext } from './context-model.ts';
import type { ProgramEntry } from './program.ts';

/** r1 is the context of a site. @param prologue writes what runs before the program's first instruction */
export function siteEntry(model: ContextModel, prologue?: (b: Builder) => void): ProgramEntry {
  let context: Value | undefined;
  return {
    paramCount: 0,
    functionIp: model.functionIp,
    emit(b) {
      prologue?.(b);
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
