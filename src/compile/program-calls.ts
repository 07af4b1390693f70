/** What a program calls and refers to, as its instructions say. */
import type { Helper } from '../helpers/helper.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { LinkedProgram } from '../object/spec.ts';

/** Whether a program names a map that has several slots, or calls a helper that needs one. */
export function usesSlots(
  { references, insns }: Pick<LinkedProgram, 'references' | 'insns'>,
  {
    maps,
    helpers,
  }: {
    readonly maps: ReadonlyMap<string, { readonly spec: MapSpec }>;
    readonly helpers: ReadonlyMap<number, Pick<Helper, 'needsSlot'>>;
  },
): boolean {
  if (callsAny(insns, (id) => helpers.get(id)?.needsSlot === true)) return true;
  for (const reference of references.values()) {
    const spec = reference.kind === 'map' ? maps.get(reference.map)?.spec : undefined;
    if ([spec, spec?.innerMap].some((map) => map !== undefined && mapTypeOf(map).slots !== undefined)) return true;
  }
  return false;
}

/** Whether one of these instructions is a call of a helper that is meant. */
export function callsAny(insns: readonly Insn[], isMeant: (id: number) => boolean): boolean {
  return insns.some((insn) => {
    const operation = operationOf(insn);
    return operation.kind === 'call' && operation.callee === 'helper' && isMeant(insn.imm);
  });
}
