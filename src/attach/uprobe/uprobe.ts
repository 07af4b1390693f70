/**
 * Probes of function calls: the seed's uprobe implementation. The first instructions of a function are displaced into a
 * trampoline that runs the programs, and a 5-byte jump leads there.
 */
import type { Injection } from '../../inject/injection.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { UPROBE_KINDS, UPROBE_MULTI, type UprobeKind } from './kinds.ts';
import { attachMany } from './multi.ts';
import { planSite } from './plan.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import { requireReturnProbeable } from './return-refusals.ts';
import { ReturnStack } from './return-stack.ts';
import { type SiteProgram, UprobeSite } from './site.ts';
import { findUnwinders } from './unwinders.ts';

export class UprobeAttachImpl implements AttachImpl<UprobePrivateData> {
  readonly kinds = UPROBE_KINDS;
  readonly parsePrivateData = parseUprobe;
  readonly #injection: Injection;
  /** By the address that is probed. A site stays known when its last program is gone: its trampoline may be used again. */
  readonly #sites = new Map<bigint, UprobeSite>();
  #returnStack: ReturnStack | undefined;
  #known: { readonly modules: string; readonly unwinders: readonly ResolvedFunction[] } | undefined;

  constructor(injection: Injection) {
    this.#injection = injection;
  }

  createAttach(kind: AttachKind, at: UprobePrivateData, callback: EbpfCallback): AttachEntry {
    const { type, when, model } = kindOf(kind);
    if (type === UPROBE_MULTI.type) {
      return attachMany(
        { injection: this.#injection, siteOf: (target) => this.#siteAt(target, at.offset) },
        at,
        callback,
      );
    }
    const { process } = this.#injection;
    const target = process.resolveFunction(process.findModule(at.binary), at.symbol);
    const { address } = target;
    if (when === 'return') this.#prepareReturns(target);
    const site = this.#siteAt(target, at.offset);
    const code = callback.compile(model(address), address);
    const program: SiteProgram = { when, code, missedCell: callback.missedCell };
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

  #siteAt(target: ResolvedFunction, offset = 0): UprobeSite {
    const address = target.address + BigInt(offset);
    let site = this.#sites.get(address);
    if (site === undefined) {
      const plan = planSite(this.#injection.process, target, offset);
      site = new UprobeSite(this.#injection, plan, () => this.#returnsFor(target));
      this.#sites.set(address, site);
    }
    return site;
  }

  #returnsFor({ name }: ResolvedFunction): ReturnStack {
    this.#returnStack ??= new ReturnStack(this.#injection, name);
    return this.#returnStack;
  }

  /** Looked for again whenever a library came or went. */
  #unwinders(): readonly ResolvedFunction[] {
    const { process } = this.#injection;
    const modules = process
      .modules()
      .map(({ path, start }) => `${path} ${start}`)
      .join();
    if (this.#known?.modules !== modules) this.#known = { modules, unwinders: findUnwinders(process) };
    return this.#known.unwinders;
  }

  /** Unwinders must never meet a return address that we put away: from now on they have them all put back first. */
  #prepareReturns(target: ResolvedFunction): void {
    requireReturnProbeable(target);
    const stack = this.#returnsFor(target);
    for (const unwinder of this.#unwinders()) {
      this.#siteAt(unwinder).guard(() => stack.restoring(unwinder.address));
    }
  }
}

function kindOf({ type }: AttachKind): UprobeKind {
  const kind = UPROBE_KINDS.find((one) => one.type === type);
  if (kind !== undefined) return kind;
  throw new AttachError('ATTACH_NO_IMPL', `cannot attach: attach type ${type} is none of function calls`);
}
