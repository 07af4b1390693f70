/** The attach kinds of functions, and what each of them lets a program see. The numbers are bpftime's. */
import { PtRegs, ptRegsAtEntry, ptRegsInside } from '../../arch/x64/pt-regs.ts';
import { SHARED_ENTRY, SHARED_RETURN, type SharedPlace, sharedSiteAddress } from '../../arch/x64/shared-body.ts';
import type { ContextModel } from '../../compile/context-model.ts';
import type { SiteSource } from '../../ir/value.ts';
import type { AttachKind } from '../attach-impl.ts';

export interface UprobeKind extends AttachKind {
  /** When its programs run. */
  readonly when: 'entry' | 'return';
  /** The context of a program at the function that begins at `address`. */
  model(address: bigint): ContextModel;
  /** At another instruction; kinds that do not have it attach to functions only. */
  modelInside?(address: bigint): ContextModel;
  /** Of kinds that attach to all functions a pattern matches: what many sites share one copy of the program for. */
  readonly shared?: { readonly place: SharedPlace; readonly model: ContextModel };
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
  model: (address) => atEntry(constant(address)),
  modelInside: atInstruction,
};

/** At the entries of all functions that a pattern matches. The kernel's number, BPF_TRACE_UPROBE_MULTI: bpftime has none. */
export const UPROBE_MULTI: UprobeKind = {
  ...UPROBE,
  type: 48,
  name: 'uprobe.multi',
  sections: ['uprobe.multi', 'uprobe.multi.s'],
  shared: { place: SHARED_ENTRY, model: { ...atEntry(sharedSiteAddress(SHARED_ENTRY)), variant: 'shared' } },
};

/** When a function has returned: `ax` is what it returned, `ip` where it returns to. */
export const URETPROBE: UprobeKind = {
  type: 7,
  name: 'uretprobe',
  sections: ['uretprobe', 'uretprobe.s'],
  context: PtRegs,
  helpers: [],
  when: 'return',
  model: (address) => atReturn(constant(address)),
};

/** When any of the functions has returned that a pattern matches. To the kernel it is a uprobe.multi with a flag. */
export const URETPROBE_MULTI: UprobeKind = {
  ...URETPROBE,
  type: 1011,
  name: 'uretprobe.multi',
  sections: ['uretprobe.multi', 'uretprobe.multi.s'],
  shared: { place: SHARED_RETURN, model: { ...atReturn(sharedSiteAddress(SHARED_RETURN)), variant: 'shared' } },
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
  model: (address) => ({ ...atEntry(constant(address)), result: { field: 'ax', is: 'to return' }, bypass: 'ifSet' }),
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
  model: (address) => ({ ...atEntry(constant(address)), result: { field: 'ax', is: 'to return' }, bypass: 'always' }),
};

export const UPROBE_KINDS: readonly UprobeKind[] = [
  UPROBE,
  UPROBE_MULTI,
  URETPROBE,
  URETPROBE_MULTI,
  UPROBE_OVERRIDE,
  UPROBE_REPLACE,
];

/** @param site the address of the function */
function atEntry(site: SiteSource): ContextModel {
  return { ...common(site, site), arguments: ARGUMENTS, isAtEntry: true };
}

/** @param site the address of the function that has returned */
function atReturn(site: SiteSource): ContextModel {
  return { ...common(site, { in: 'stack', offset: -8 }), result: { field: 'ax', is: 'returned' } };
}

/** pt_regs of a thread that arrives at any instruction: flags and all. */
export function atInstruction(address: bigint): ContextModel {
  const here = constant(address);
  return { ...common(here, here), fields: ptRegsInside(address), variant: 'inside' };
}

function common(functionIp: SiteSource, ip: SiteSource): ContextModel {
  return { struct: PtRegs, fields: { ...ptRegsAtEntry(0n), ip }, functionIp, writable: GENERAL };
}

function constant(value: bigint): SiteSource {
  return { in: 'constant', value };
}
