/** Which registers an instruction reads and writes. */
import { type Operation, operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';

/** Registers, in the order a refusal names them. Calls read their arguments besides, which depends on the callee. */
export interface Effects {
  readonly reads: readonly number[];
  readonly writes: readonly number[];
}

type EffectsOf<K extends Operation['kind']> = (operation: Extract<Operation, { kind: K }>, insn: Insn) => Effects;

const CALLER_SAVED = [0, 1, 2, 3, 4, 5];

const EFFECTS: { readonly [K in Operation['kind']]: EffectsOf<K> } = {
  alu: ({ operator, operand }, { dst, src }) => ({
    reads: [...(operand === 'src' ? [src] : []), ...(operator === 'mov' ? [] : [dst])],
    writes: [dst],
  }),
  neg: (_, { dst }) => ({ reads: [dst], writes: [dst] }),
  movsx: (_, { dst, src }) => ({ reads: [src], writes: [dst] }),
  endian: (_, { dst }) => ({ reads: [dst], writes: [dst] }),
  lddw: (_, { dst }) => ({ reads: [], writes: [dst] }),
  load: (_, { dst, src }) => ({ reads: [src], writes: [dst] }),
  store: ({ operand }, { dst, src }) => ({ reads: operand === 'src' ? [src, dst] : [dst], writes: [] }),
  atomic: ({ operator, fetch }, { dst, src }) =>
    operator === 'cmpxchg' ? { reads: [src, dst, 0], writes: [0] } : { reads: [src, dst], writes: fetch ? [src] : [] },
  jump: () => ({ reads: [], writes: [] }),
  branch: ({ operand }, { dst, src }) => ({ reads: operand === 'src' ? [src, dst] : [dst], writes: [] }),
  mayGoto: () => ({ reads: [], writes: [] }),
  call: ({ callee }, { dst }) => ({ reads: callee === 'register' ? [dst] : [], writes: CALLER_SAVED }),
  exit: () => ({ reads: [0], writes: [] }),
};

/** What an instruction does to registers. */
export function effectsOf(insn: Insn): Effects {
  const operation = operationOf(insn);
  const effects = EFFECTS[operation.kind] as EffectsOf<Operation['kind']>;
  return effects(operation, insn);
}
