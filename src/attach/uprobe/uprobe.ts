/**
 * Probes at the entry of a function or at an instruction inside it: the seed's uprobe implementation. Instructions are
 * displaced into a trampoline that runs the programs, and a jump leads there.
 */
import { PtRegs, ptRegsAtEntry, ptRegsInside } from '../../arch/x64/pt-regs.ts';
import type { ContextModel } from '../../compile/context-model.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import type { ProbePlace, UprobeSites } from './sites.ts';

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
    const where = whereIs({ target, offset });
    const address = target.address + BigInt(offset);
    const program = callback.compile(contextAt(address, where), address);
    const probe = this.#sites.add({ target, offset }, { where, program });
    let attached = true;
    return {
      target: `${target.module.name}:${at.symbol}${offset === 0 ? '' : `+${offset}`}`,
      address,
      method: probe.site.method,
      detach: () => {
        if (attached) probe.remove();
        attached = false;
      },
    };
  }
}

/** Only what a symbol calls a function, with a size, keeps to the convention that no flag is live at its entry. */
function whereIs({ target, offset }: ProbePlace): 'entry' | 'inside' {
  return offset === 0 && target.size > 0 ? 'entry' : 'inside';
}

/** pt_regs of a thread that arrives at `address`. */
export function contextAt(address: bigint, where: 'entry' | 'inside'): ContextModel {
  const fields = where === 'entry' ? ptRegsAtEntry(address) : ptRegsInside(address);
  return { struct: PtRegs, fields, functionIp: { in: 'constant', value: address } };
}
