/**
 * Probes at the entry of a function or at an instruction inside it: the seed's uprobe implementation. Instructions are
 * displaced into a trampoline that runs the programs, and a jump leads there.
 */
import { PtRegs, ptRegsAtEntry, ptRegsInside } from '../../arch/x64/pt-regs.ts';
import type { ContextModel } from '../../compile/context-model.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import type { SiteProbe } from './site.ts';
import type { UprobeSites } from './sites.ts';

/** bpftime's number for UPROBE. */
export const UPROBE: AttachKind = {
  type: 6,
  name: 'uprobe',
  sections: ['uprobe'],
  context: PtRegs,
  helpers: [],
};

export class UprobeAttachImpl implements AttachImpl<UprobePrivateData> {
  readonly kinds = [UPROBE];
  readonly parsePrivateData = parseUprobe;
  readonly #process: TargetProcess;
  readonly #sites: UprobeSites;

  constructor(process: TargetProcess, sites: UprobeSites) {
    this.#process = process;
    this.#sites = sites;
  }

  createAttach(_kind: AttachKind, at: UprobePrivateData, callback: EbpfCallback): AttachEntry {
    const target = this.#process.resolveFunction(this.#process.findModule(at.binary), at.symbol);
    const { offset } = at;
    const located = this.#sites.locate({ target, offset });
    const address = target.address + BigInt(offset);
    const remove = this.#sites.add(located, callback.compile(contextAt(address, located.where), address));
    let attached = true;
    return {
      target: `${target.module.name}:${at.symbol}${offset === 0 ? '' : `+${offset}`}`,
      address,
      method: located.site.method,
      detach: () => {
        if (attached) remove();
        attached = false;
      },
    };
  }
}

/** pt_regs of a thread that arrives at `address`. */
export function contextAt(address: bigint, where: SiteProbe['where']): ContextModel {
  const fields = where === 'entry' ? ptRegsAtEntry(address) : ptRegsInside(address);
  return { struct: PtRegs, fields, functionIp: { in: 'constant', value: address }, variant: where };
}
