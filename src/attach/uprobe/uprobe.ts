/**
 * Entry probes: the seed's uprobe implementation. The first instructions of a function are displaced into a trampoline
 * that runs the programs, and a 5-byte jump leads there.
 */

import { PtRegs, ptRegsAtEntry } from '../../arch/x64/pt-regs.ts';
import type { Injection } from '../../inject/injection.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
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

export class UprobeAttachImpl implements AttachImpl<UprobePrivateData> {
  readonly kinds = [UPROBE];
  readonly parsePrivateData = parseUprobe;
  readonly #injection: Injection;
  /** By the function's address. A site stays known when its last program is gone: its trampoline may be used again. */
  readonly #sites = new Map<bigint, UprobeSite>();

  constructor(injection: Injection) {
    this.#injection = injection;
  }

  createAttach(_kind: AttachKind, at: UprobePrivateData, callback: EbpfCallback): AttachEntry {
    if (at.offset !== 0) {
      throw new AttachError('ATTACH_OFFSET_UNSUPPORTED', `cannot attach to ${at}: an offset inside a function`, {
        fix: 'probe the entry of the function',
      });
    }
    const { process } = this.#injection;
    const target = process.resolveFunction(process.findModule(at.binary), at.symbol);
    const { address } = target;
    const site = this.#sites.get(address) ?? new UprobeSite(this.#injection, target);
    const program = callback.compile(
      { struct: PtRegs, fields: ptRegsAtEntry(address), functionIp: { in: 'constant', value: address } },
      address,
    );
    site.add(program);
    this.#sites.set(address, site);
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
}
