/**
 * Probes of functions: at the entry, at an instruction inside, at the return, or in the function's place. The seed's uprobe
 * implementation: instructions are displaced into a trampoline that runs the programs, and a jump leads there.
 */
import type { Injection } from '../../inject/injection.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { UPROBE_KINDS, type UprobeKind } from './kinds.ts';
import { locateProbe, prepareFor } from './locate-probe.ts';
import { attachMany } from './multi.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import type { UprobeSites } from './sites.ts';

export class UprobeAttachImpl implements AttachImpl<UprobePrivateData> {
  readonly kinds = UPROBE_KINDS;
  readonly parsePrivateData = parseUprobe;
  readonly #injection: Injection;
  readonly #sites: UprobeSites;

  constructor(injection: Injection, sites: UprobeSites) {
    this.#injection = injection;
    this.#sites = sites;
  }

  createAttach(kind: AttachKind, at: UprobePrivateData, callback: EbpfCallback): AttachEntry {
    const uprobe = kindOf(kind);
    if (uprobe.shared !== undefined) {
      return attachMany({ injection: this.#injection, sites: this.#sites }, uprobe, at, callback);
    }
    const { process } = this.#injection;
    const target = process.resolveFunction(process.findModule(at.binary), at.symbol);
    const { offset } = at;
    const address = target.address + BigInt(offset);
    if (offset === 0) prepareFor(this.#sites, uprobe, target);
    const { located, model } = locateProbe(this.#sites, uprobe, { target, offset });
    const program = callback.compile(model(address), address);
    const detach = this.#sites.add(located, { program, missedCell: callback.missedCell });
    return {
      target: `${target.module.name}:${at.symbol}${offset === 0 ? '' : `+${offset}`}`,
      address,
      method: located.site.method,
      detach,
    };
  }
}

function kindOf({ type }: AttachKind): UprobeKind {
  const kind = UPROBE_KINDS.find((one) => one.type === type);
  if (kind !== undefined) return kind;
  throw new AttachError('ATTACH_NO_IMPL', `cannot attach: attach type ${type} is none of functions`);
}
