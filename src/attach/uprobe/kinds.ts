/** The attach kinds of functions, and what each of them lets a program see. The numbers are bpftime's. */
import { PtRegs, ptRegsAtEntry, ptRegsInside } from '../../arch/x64/pt-regs.ts';
import type { ContextModel, FieldSource } from '../../compile/context-model.ts';
import type { AttachKind } from '../attach-impl.ts';

export interface UprobeKind extends AttachKind {
  /** When its programs run. */
  readonly when: 'entry' | 'return';
  /** The context of a program at the function that begins at `address`. */
  model(address: bigint): ContextModel;
  /** At another instruction; kinds that do not have it attach to functions only. */
  modelInside?(address: bigint): ContextModel;
}

/** Integer arguments in order, as fields of pt_regs. System V ABI, AMD64 supplement 3.2.3. */
const ARGUMENTS = ['di', 'si', 'dx', 'cx', 'r8', 'r9'] as const;
const GENERAL = ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'bp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];

/** At the entry of a function, or at an instruction inside it. */
export const UPROBE: UprobeKind = {
  type: 6,
  name: 'uprobe',
  sections: ['uprobe', 'uprobe.s'],
  context: PtRegs,
  helpers: [],
  when: 'entry',
  model: atEntry,
  modelInside: atInstruction,
};

/** When a function has returned: `ax` is what it returned, `ip` where it returns to. */
export const URETPROBE: UprobeKind = {
  type: 7,
  name: 'uretprobe',
  sections: ['uretprobe', 'uretprobe.s'],
  context: PtRegs,
  helpers: [],
  when: 'return',
  model: (address) => ({
    ...common(address, { in: 'stack', offset: -8 }),
    result: { field: 'ax', is: 'returned' },
  }),
};

/** At the entry; a program that sets a value to return bypasses the function. */
export const UPROBE_OVERRIDE: UprobeKind = {
  type: 1008,
  name: 'override',
  sections: ['uprobe.override'],
  context: PtRegs,
  helpers: [],
  requires: ['override'],
  when: 'entry',
  model: (address) => ({ ...atEntry(address), result: { field: 'ax', is: 'to return' }, bypass: 'ifSet' }),
};

/** Instead of the function, which returns what the program set or else returned. */
export const UPROBE_REPLACE: UprobeKind = {
  type: 1009,
  name: 'replace',
  sections: ['uprobe.replace'],
  context: PtRegs,
  helpers: [],
  requires: ['override'],
  when: 'entry',
  model: (address) => ({ ...atEntry(address), result: { field: 'ax', is: 'to return' }, bypass: 'always' }),
};

export const UPROBE_KINDS: readonly UprobeKind[] = [UPROBE, URETPROBE, UPROBE_OVERRIDE, UPROBE_REPLACE];

function atEntry(address: bigint): ContextModel {
  return { ...common(address, { in: 'constant', value: address }), arguments: ARGUMENTS };
}

/** pt_regs of a thread that arrives at any instruction: flags and all. */
export function atInstruction(address: bigint): ContextModel {
  const model = common(address, { in: 'constant', value: address });
  return { ...model, fields: ptRegsInside(address), variant: 'inside' };
}

function common(address: bigint, ip: FieldSource): ContextModel {
  return {
    struct: PtRegs,
    fields: { ...ptRegsAtEntry(address), ip },
    functionIp: { in: 'constant', value: address },
    writable: GENERAL,
  };
}
