/**
 * Probes of functions: at the entry, at an instruction inside, at the return, or in the function's place. The seed's uprobe
 * implementation: instructions are displaced into a trampoline that runs the programs, and a jump leads there.
 */

import { SymbolType } from '../../elf/symbols.ts';
import type { Injection } from '../../inject/injection.ts';
import { functionsMatching } from '../../process/functions.ts';
import type { Module } from '../../process/module.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { UPROBE_KINDS, type UprobeKind } from './kinds.ts';
import type { LibraryProbes } from './libraries.ts';
import { locateProbe, prepareFor } from './locate-probe.ts';
import { attachMany } from './multi.ts';
import { planProbe } from './plan.ts';
import { parseUprobe, type UprobePrivateData } from './private-data.ts';
import type { UprobeSites } from './sites.ts';

export class UprobeAttachImpl implements AttachImpl<UprobePrivateData> {
  readonly kinds = UPROBE_KINDS;
  readonly parsePrivateData = parseUprobe;
  readonly #injection: Injection;
  readonly #sites: UprobeSites;
  readonly #libraries: LibraryProbes;

  constructor(injection: Injection, sites: UprobeSites, libraries: LibraryProbes) {
    this.#injection = injection;
    this.#sites = sites;
    this.#libraries = libraries;
  }

  createAttach(kind: AttachKind, at: UprobePrivateData, callback: EbpfCallback): AttachEntry {
    const uprobe = kindOf(kind);
    return this.#libraries.attach({
      binary: at.binary,
      target: `${at}`,
      check: (file) => this.#check(uprobe, at, file),
      attach: (module) => this.#attach(uprobe, at, callback, module),
    });
  }

  #attach(kind: UprobeKind, at: UprobePrivateData, callback: EbpfCallback, module: Module): AttachEntry {
    if (kind.shared !== undefined) {
      return attachMany({ injection: this.#injection, sites: this.#sites, module }, kind, at, callback);
    }
    const target = this.#injection.process.resolveFunction(module, at.symbol);
    const { offset } = at;
    const address = target.address + BigInt(offset);
    if (offset === 0) prepareFor(this.#sites, kind, target);
    const { located, model } = locateProbe(this.#sites, kind, { target, offset });
    const program = callback.compile(model(address), address);
    const detach = this.#sites.add(located, { program, missedCell: callback.missedCell });
    return {
      target: `${target.module.name}:${at.symbol}${offset === 0 ? '' : `+${offset}`}`,
      address,
      method: located.site.method,
      detach,
    };
  }

  /** What can be told from the file alone. An indirect function is chosen only when it is loaded. */
  #check(kind: UprobeKind, { symbol, offset }: UprobePrivateData, file: Module): void {
    if (kind.shared !== undefined) {
      functionsMatching(file, symbol);
      return;
    }
    if (file.elf.findSymbol(symbol)?.type === SymbolType.GNU_IFUNC) return;
    planProbe({ target: this.#injection.process.resolveFunction(file, symbol), offset });
  }
}

function kindOf({ type }: AttachKind): UprobeKind {
  const kind = UPROBE_KINDS.find((one) => one.type === type);
  if (kind !== undefined) return kind;
  throw new AttachError('ATTACH_NO_IMPL', `cannot attach: attach type ${type} is none of functions`);
}
