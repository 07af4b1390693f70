/**
 * Probes of functions: at the entry, at an instruction inside, at the return, or in the function's place. The seed's uprobe
 * implementation: instructions are displaced into a trampoline that runs the programs, and a jump leads there.
 */
import type { Injection } from '../../inject/injection.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { UPROBE_KINDS, UPROBE_MULTI, type UprobeKind } from './kinds.ts';
import { attachMany } from './multi.ts';
import type { ProbePlace } from './plan.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import { requireReturnProbeable } from './return-refusals.ts';
import type { LocatedProbe, UprobeSites } from './sites.ts';

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
    if (uprobe.type === UPROBE_MULTI.type) {
      return attachMany({ injection: this.#injection, sites: this.#sites }, at, callback);
    }
    const { process } = this.#injection;
    const target = process.resolveFunction(process.findModule(at.binary), at.symbol);
    const { offset } = at;
    const address = target.address + BigInt(offset);
    const located = this.#locate(uprobe, { target, offset });
    const model = located.where === 'inside' ? uprobe.modelInside : uprobe.model;
    if (model === undefined) throw entryOnly(kind, at);
    const program = callback.compile(model(address), address);
    const where = uprobe.when === 'return' ? 'return' : located.where;
    const remove = this.#sites.add({ ...located, where }, { program, missedCell: callback.missedCell });
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

  #locate({ when }: UprobeKind, place: ProbePlace): LocatedProbe {
    if (when === 'return' && place.offset === 0) {
      requireReturnProbeable(place.target);
      this.#sites.prepareReturns(place.target);
    }
    return this.#sites.locate(place);
  }
}

function entryOnly({ name }: AttachKind, at: UprobePrivateData): AttachError {
  return new AttachError('ATTACH_ENTRY_ONLY', `cannot attach to ${at}: ${name} needs the entry of a function`, {
    why:
      at.offset === 0
        ? 'it has no size, or begins with what its caller left in the flags: no function as the convention has it'
        : 'no call begins there that could end or be left out',
    fix: 'attach a uprobe there, or this to the entry of a function',
  });
}

function kindOf({ type }: AttachKind): UprobeKind {
  const kind = UPROBE_KINDS.find((one) => one.type === type);
  if (kind !== undefined) return kind;
  throw new AttachError('ATTACH_NO_IMPL', `cannot attach: attach type ${type} is none of functions`);
}
