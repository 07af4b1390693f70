/** What programs know of the function entry they run at. */
import { PtRegs, ptRegsAtEntry } from '../../arch/x64/pt-regs.ts';
import { SHARED_SITE_ADDRESS } from '../../arch/x64/shared-body.ts';
import type { ContextModel } from '../../compile/context-model.ts';

/** Of a program with a copy of its own for the entry at `address`. */
export function entryContext(address: bigint): ContextModel {
  return { struct: PtRegs, fields: ptRegsAtEntry(address), functionIp: { in: 'constant', value: address } };
}

/** Of a program that many entries share. */
export const SHARED_ENTRY_CONTEXT: ContextModel = {
  struct: PtRegs,
  fields: { ...ptRegsAtEntry(0n), ip: SHARED_SITE_ADDRESS },
  functionIp: SHARED_SITE_ADDRESS,
};
