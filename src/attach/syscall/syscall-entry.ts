/** A program at system calls of one kind: at every place that makes one, also those of code that is mapped later. */
import type { LoweredProgram } from '../../compile/compile.ts';
import type { AttachEntry, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import type { CallProbe, CallSite } from './call-site.ts';
import type { CallSites, ModuleCalls } from './call-sites.ts';
import type { SyscallKind } from './kinds.ts';
import type { SyscallEvent, SyscallPrivateData } from './private-data.ts';

export interface SyscallProgramAt {
  readonly at: SyscallPrivateData;
  readonly kind: SyscallKind;
  readonly event: SyscallEvent;
  readonly callback: EbpfCallback;
}

interface AttachedCall {
  readonly call: CallSite;
  readonly probe: CallProbe;
}

export class SyscallEntry implements AttachEntry {
  onDetach = (): void => {};
  /** How many regions of code there are that no file tells about. */
  codeWithoutFile = 0;
  readonly #sites: CallSites;
  readonly #what: SyscallProgramAt;
  /** By address of the call. */
  #attached: ReadonlyMap<bigint, AttachedCall> = new Map();
  /** Places that cannot be reached, when it was looked last. */
  #refused = 0;

  constructor(sites: CallSites, what: SyscallProgramAt) {
    this.#sites = sites;
    this.#what = what;
  }

  get target(): string {
    return `${this.#what.at}`;
  }

  get address(): bigint {
    return this.addresses[0] ?? 0n;
  }

  get addresses(): readonly bigint[] {
    return [...this.#attached.keys()];
  }

  get method(): string {
    return this.#refused === 0 ? 'jump' : `jump, ${this.#refused} of its places not reached`;
  }

  get unreached(): number {
    return this.#refused;
  }

  /** Attaches to all calls that are wanted and not attached to yet. @returns why some cannot be */
  attachTo(modules: readonly ModuleCalls[]): readonly AttachError[] {
    const { callback, event, kind } = this.#what;
    const { when, number } = event;
    const refusals: AttachError[] = [];
    const attached = new Map<bigint, AttachedCall>();
    let refused = 0;
    for (const module of modules) {
      const wanted = module.calls.filter((call) => number === undefined || (call.number ?? number) === number);
      if (wanted.length === 0 && !module.isUnsettled) continue;
      refused += module.refused.filter((one) => number === undefined || (one ?? number) === number).length;
      let program: LoweredProgram | undefined;
      for (const call of wanted) {
        const known = this.#attached.get(call.address);
        if (known?.call === call) {
          attached.set(call.address, known);
          continue;
        }
        program ??= callback.compile(kind.model(event, callback.allowed.has('override')), wanted[0]!.address);
        const probe = { when, program: { program, number } };
        try {
          this.#sites.add(call, probe);
          attached.set(call.address, { call, probe });
        } catch (error) {
          if (!(error instanceof AttachError)) throw error;
          refusals.push(error);
        }
      }
    }
    this.#attached = attached;
    this.#refused = refused + refusals.length;
    return refusals;
  }

  /** What puts back what is known of it now, for when what is attached from now on is undone. */
  mark(): () => void {
    const [attached, refused] = [this.#attached, this.#refused];
    return () => {
      this.#attached = attached;
      this.#refused = refused;
    };
  }

  detach(): void {
    for (const { call, probe } of this.#attached.values()) this.#sites.remove(call, probe);
    this.onDetach();
  }
}
