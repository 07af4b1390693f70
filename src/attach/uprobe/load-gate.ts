/**
 * The place where threads wait that have loaded a library, from outside: a probe of ours at the function that the dynamic linker
 * calls for debuggers. Where there can be none, what was loaded is found by looking from time to time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { lower } from '../../arch/x64/lower.ts';
import { BpfError } from '../../errors.ts';
import type { Injection } from '../../inject/injection.ts';
import { NOTIFY_SYMBOL, R_DEBUG_SYMBOL, RDebug } from '../../process/r-debug.ts';
import type { LoadGate } from '../loads.ts';
import { loadGateCode } from './load-gate-code.ts';
import type { UprobeSites } from './sites.ts';

export class LinkerGate implements LoadGate {
  readonly #injection: Injection;
  readonly #sites: UprobeSites;
  #isLaid = false;
  #isRefused = false;
  #isOpen = false;

  constructor(injection: Injection, sites: UprobeSites) {
    this.#injection = injection;
    this.#sites = sites;
  }

  get isInPlace(): boolean {
    return this.#isLaid && !this.#injection.isAway;
  }

  /** Lays the probe, unless it is there or cannot be. */
  install(): void {
    if (this.#isLaid || this.#isRefused) return;
    const { process, whenWeDie } = this.#injection;
    // Waiting takes system calls, and nobody tells of a controller without a lease that it has died.
    this.#isRefused = process.facts.seccomp !== 'none' || whenWeDie === 'run on';
    if (this.#isRefused) return;
    try {
      this.#lay();
      this.#isLaid = true;
    } catch (error) {
      if (!(error instanceof BpfError) || process.isGone()) throw error;
      this.#isRefused = true;
      return;
    }
    this.#injection.onFailure(() => {
      this.#isLaid = false;
    });
    if (this.#isOpen) this.#setOpen(1);
  }

  open(): void {
    this.#isOpen = true;
    if (this.isInPlace) this.#setOpen(1);
  }

  close(): void {
    this.#isOpen = false;
    if (!this.isInPlace) return;
    this.#setOpen(0);
    this.answer(this.requests);
  }

  get requests(): number {
    return this.isInPlace ? this.#injection.meeting.requests : 0;
  }

  answer(requests: number): void {
    if (!this.isInPlace) return;
    // Who has waited too long for us has closed it.
    if (this.#isOpen) this.#setOpen(1);
    this.#injection.meeting.answer(requests);
  }

  async next(requests: number, milliseconds: number): Promise<void> {
    if (this.isInPlace) await this.#injection.meeting.next(requests, milliseconds);
    else await sleep(milliseconds);
  }

  #lay(): void {
    const { process, privateCells, meeting, leaseCell, holderDied } = this.#injection;
    const linker = process.linker();
    const target = process.resolveFunction(linker, NOTIFY_SYMBOL);
    const located = this.#sites.locate({ target, offset: 0 });
    const state = linker.elf.findSymbol(R_DEBUG_SYMBOL);
    const code = loadGateCode({
      gateOpen: privateCells.gateOpen,
      gateState: privateCells.gateState,
      requestsCell: meeting.requestsCell,
      answersCell: meeting.answersCell,
      lease: leaseCell,
      died: holderDied,
      state: state && state.value + linker.bias + BigInt(RDebug.offsetOf.state),
    });
    this.#sites.add(located, { program: lower(code, { nearAddress: located.at }) });
  }

  #setOpen(value: number): void {
    const { process, privateCells } = this.#injection;
    try {
      process.memory.write(privateCells.gateOpen, Uint8Array.of(value, 0, 0, 0));
    } catch (error) {
      if (!process.isGone()) throw error;
    }
  }
}
