/**
 * Entry probes: the seed's uprobe implementation. The first instructions of a function are displaced into a trampoline
 * that runs the programs, and a 5-byte jump leads there.
 */

import { PtRegs } from '../../arch/x64/pt-regs.ts';
import type { Injection } from '../../inject/injection.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { entryContext } from './entry-context.ts';
import { attachMany } from './multi.ts';
import { planSite } from './plan.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import { UprobeSite } from './site.ts';

/** bpftime's number for UPROBE. */
export const UPROBE: AttachKind = {
  type: 6,
  name: 'uprobe',
  sections: ['uprobe'],
  context: PtRegs,
  helpers: [],
};

/** The kernel's number for BPF_TRACE_UPROBE_MULTI, which bpftime does not have. */
export const UPROBE_MULTI: AttachKind = { ...UPROBE, type: 48, name: 'uprobe.multi', sections: ['uprobe.multi'] };

export class UprobeAttachImpl implements AttachImpl<UprobePrivateData> {
  readonly kinds = [UPROBE, UPROBE_MULTI];
  readonly parsePrivateData = parseUprobe;
  readonly #injection: Injection;
  /** By the address that is probed. A site stays known when its last program is gone: its trampoline may be used again. */
  readonly #sites = new Map<bigint, UprobeSite>();

  constructor(injection: Injection) {
    this.#injection = injection;
  }

  createAttach(kind: AttachKind, at: UprobePrivateData, callback: EbpfCallback): AttachEntry {
    if (kind === UPROBE_MULTI) {
      return attachMany(
        { injection: this.#injection, siteOf: (target) => this.#siteOf(target, at.offset) },
        at,
        callback,
      );
    }
    const { process } = this.#injection;
    const target = process.resolveFunction(process.findModule(at.binary), at.symbol);
    const { address } = target;
    const site = this.#siteOf(target, at.offset);
    const program = callback.compile(entryContext(address), address);
    site.add(program);
    let attached = true;
    return {
      target: `${target.module.name}:${at.symbol}`,
      address,
      method: 'jump',
      detach: () => {
        if (attached) site.remove(program);
        attached = false;
      },
    };
  }

  #siteOf(target: ResolvedFunction, offset: number): UprobeSite {
    const address = target.address + BigInt(offset);
    let site = this.#sites.get(address);
    if (site === undefined) {
      site = new UprobeSite(this.#injection, planSite(this.#injection.process, target, offset));
      this.#sites.set(address, site);
    }
    return site;
  }
}
