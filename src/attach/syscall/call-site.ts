/**
 * One `syscall` instruction of the target: its programs, the trampolines they run in, and the jumps that lead there. A program that
 * comes or goes changes where the jumps lead, never code that a thread may be in.
 */
import { NEAR_JUMP_SIZE, nearJump, nearJumpTarget } from '../../arch/x64/near-jump.ts';
import { changedArguments } from '../../arch/x64/syscall-changes.ts';
import { SYSCALL_SIZE, type SyscallSite } from '../../arch/x64/syscall-sites.ts';
import {
  emitAround,
  emitBefore,
  emitBehind,
  leadInSize,
  mayAnswer,
  type SyscallPlace,
  type SyscallProgram,
  type SyscallTrampoline,
} from '../../arch/x64/syscall-trampoline.ts';
import { JUMP_SIZE } from '../../arch/x64/window.ts';
import type { SeenSite } from '../../inject/chain.ts';
import type { Injection } from '../../inject/injection.ts';
import { type CodeOrigin, originAt } from '../../process/code-origin.ts';
import type { Module } from '../../process/module.ts';
import { AttachError } from '../errors.ts';

/** A program at a call. */
export interface CallProbe {
  readonly when: 'enter' | 'exit';
  readonly program: SyscallProgram;
}

/** One of the jumps: where it stands, and where it leads. */
interface Jump {
  readonly at: bigint;
  readonly original: Uint8Array;
  /** The programs that its trampoline was made for last, and the trampoline. */
  made: { readonly probes: readonly CallProbe[]; readonly laid: LaidTrampoline } | undefined;
  isLaid: boolean;
}

/** What takes a call of our own. */
const WISHES = {
  seeEnd: { what: 'the end', why: 'its number is decided at run time' },
  change: { what: 'the arguments', why: 'it is made with other ones' },
} as const;

interface LaidTrampoline extends Omit<SyscallTrampoline, 'bytes' | 'leadIn'> {
  readonly origin: bigint;
}

export class CallSite {
  /** Every byte that is displaced, and the call. */
  readonly bytes: readonly bigint[];
  readonly #injection: Injection;
  readonly #module: Module;
  readonly #isLasting: boolean;
  readonly #site: SyscallSite;
  readonly #place: SyscallPlace;
  /** In front of the call, or on it. */
  readonly #front: Jump;
  /** Behind it, if programs at the exit are reached from there. */
  readonly #back: Jump | undefined;
  /** Every trampoline in whose calls a thread may be waiting. */
  readonly #calling: LaidTrampoline[] = [];
  #probes: readonly CallProbe[] = [];
  #leadIn: number | undefined;

  constructor(injection: Injection, module: Module, site: SyscallSite) {
    this.#injection = injection;
    this.#module = module;
    this.#isLasting = injection.process.isLasting(module);
    this.#site = site;
    const { at, number, lead, trail, keepsFlags } = site;
    const address = module.bias + BigInt(at);
    const isBeside = lead >= JUMP_SIZE;
    const bytes = (from: number, size: number): Uint8Array => module.elf.bytesAt(BigInt(from), size);
    this.#place = {
      at: address,
      number,
      keepsFlags,
      lead: bytes(at - lead, lead),
      trail: isBeside ? new Uint8Array(0) : bytes(at + SYSCALL_SIZE, trail),
    };
    this.#front = jumpAt(address - BigInt(lead), bytes(at - lead, JUMP_SIZE));
    if (isBeside && number !== undefined && trail > 0) {
      this.#back = jumpAt(address + BigInt(SYSCALL_SIZE), bytes(at + SYSCALL_SIZE, JUMP_SIZE));
    }
    const size = lead + SYSCALL_SIZE + (this.#back !== undefined || !isBeside ? trail : 0);
    this.bytes = Array.from({ length: size }, (_, n) => address + BigInt(n - lead));
  }

  /** True while a jump stands there. */
  get isPatched(): boolean {
    return this.#probes.length > 0;
  }

  /** Of the `syscall` instruction. */
  get address(): bigint {
    return this.#place.at;
  }

  /** Undefined where it is decided at run time. */
  get number(): number | undefined {
    return this.#place.number;
  }

  /**
   * Has a program run there from now on.
   *
   * @throws {AttachError} ATTACH_SITE_PATCHED, ATTACH_SITE_INSTRUCTION; nothing is changed then
   */
  add(probe: CallProbe): void {
    if (this.#probes.length === 0) this.#requireUntouched();
    const before = this.#probes;
    this.#probes = [...before, probe];
    this.#onFailureBeAs(before);
    try {
      // The first one shows whether the instructions can be moved; what comes with it is laid together with others.
      if (before.some(({ when }) => when === probe.when)) this.#injection.atEndOfBatch(this.#lay);
      else this.#lay();
    } catch (error) {
      this.#probes = before;
      throw error;
    }
  }

  remove(probe: CallProbe): void {
    this.#onFailureBeAs(this.#probes);
    this.#probes = this.#probes.filter((known) => known !== probe);
    this.#injection.atEndOfBatch(this.#lay);
  }

  /** Its library was unloaded: nothing is there any more. */
  forget(): void {
    this.#probes = [];
    this.#front.isLaid = false;
    if (this.#back !== undefined) this.#back.isLaid = false;
  }

  /** True if it was found in that file, and not in another that lay there before. */
  isOf({ elf }: Module): boolean {
    return this.#module.elf === elf;
  }

  #originAt(address: bigint): CodeOrigin | undefined {
    return this.#isLasting ? undefined : originAt(this.#module.mappings, address);
  }

  #onFailureBeAs(probes: readonly CallProbe[]): void {
    this.#injection.onFailure(() => {
      this.#probes = probes;
    });
  }

  /** Makes the trampolines for its programs; the jumps lead there from the end of the batch on. */
  readonly #lay = (): void => {
    const probes = this.#probes;
    const enter = probes.filter(({ when }) => when === 'enter');
    const exit = probes.filter(({ when }) => when === 'exit');
    const [atFront, atBack] = this.#back === undefined ? [probes, []] : [enter, exit];
    const changes = [this.#change(this.#front, atFront), ...(this.#back ? [this.#change(this.#back, atBack)] : [])];
    for (const change of changes) change();
  };

  /** Makes the trampoline for some programs; the result has the jump lead there, or puts the bytes back if there are none. */
  #change(jump: Jump, probes: readonly CallProbe[]): () => void {
    const laid = probes.length === 0 ? undefined : this.#trampolineFor(jump, probes);
    return () => {
      if (laid === undefined && !jump.isLaid) return;
      this.#injection.patch({
        address: jump.at,
        original: jump.original,
        wanted: laid === undefined ? jump.original : nearJump(jump.at, laid.origin),
        moves: laid?.moves ?? new Map(),
        extent: this.#extentOf(jump),
        leadIn: this.#leadInOf(jump),
        onward: laid?.onward,
        origin: this.#originAt(jump.at),
        leaving: jump === this.#front ? this.#leavingFor(laid) : new Map(),
      });
      const wasLaid = jump.isLaid;
      jump.isLaid = laid !== undefined;
      this.#injection.onFailure(() => {
        jump.isLaid = wasLaid;
      });
    };
  }

  /** The bytes whose instructions its trampoline has. */
  #extentOf(jump: Jump): number {
    if (jump === this.#back) return this.#site.trail;
    return this.#place.lead.length >= JUMP_SIZE ? this.#place.lead.length : this.bytes.length;
  }

  /** The same for every session. */
  #leadInOf(jump: Jump): number {
    if (jump === this.#back) return 0;
    try {
      this.#leadIn ??= leadInSize(this.#place);
      return this.#leadIn;
    } catch (cause) {
      throw this.#immovable(cause);
    }
  }

  /** As other sessions have it too. */
  #seen(jump: Jump): SeenSite {
    return { address: jump.at, original: jump.original, leadIn: this.#leadInOf(jump) };
  }

  /** Threads that wait in the kernel make the call again from where they would have come from. */
  #leavingFor(next: LaidTrampoline | undefined): ReadonlyMap<bigint, bigint> {
    const inPlace = next === undefined || this.#place.lead.length >= JUMP_SIZE;
    const leaving = new Map<bigint, bigint>();
    for (const { origin, copies } of this.#calling) {
      if (origin === next?.origin) continue;
      for (const [number, from] of copies) {
        const to = next?.copies.get(number) ?? (inPlace ? this.#place.at : next?.copies.get(undefined));
        if (to !== undefined) leaving.set(from, to);
      }
    }
    return leaving;
  }

  #trampolineFor(jump: Jump, probes: readonly CallProbe[]): LaidTrampoline {
    const { made } = jump;
    const behind = this.#injection.behindSite(this.#seen(jump));
    const isForThese =
      made?.probes.length === probes.length && made.probes.every((probe, n) => isSame(probe, probes[n]!));
    // A thread may be in one that was made earlier: where that leads on to must not change.
    if (isForThese && this.#leadsOnTo(jump, made.laid) === behind) return made.laid;
    const goesOn = behind === undefined ? 'behind' : 'elsewhere';
    try {
      const { origin, result } = this.#injection.layCode(this.#place.at, (address) => {
        const { bytes, leadIn, ...rest } = this.#emit(jump, probes, goesOn, address);
        if (leadIn !== this.#leadInOf(jump))
          throw new TypeError('the size of what is in front of a call must not vary');
        return { bytes, result: rest };
      });
      const laid = { origin, ...result };
      jump.made = { probes, laid };
      if (result.copies.size > 0) this.#calling.push(laid);
      return laid;
    } catch (cause) {
      throw this.#immovable(cause);
    }
  }

  #immovable(cause: unknown): unknown {
    if (!(cause instanceof RangeError)) return cause;
    return new AttachError('ATTACH_SITE_INSTRUCTION', `cannot attach to ${this.name}: ${cause.message}`, { cause });
  }

  #leadsOnTo(jump: Jump, { onward }: LaidTrampoline): bigint | undefined {
    if (onward === undefined) return undefined;
    const reached = nearJumpTarget(onward, this.#injection.process.memory.read(onward, NEAR_JUMP_SIZE));
    return reached === undefined ? undefined : reached - BigInt(this.#leadInOf(jump));
  }

  /** @throws {AttachError} ATTACH_SITE_PATCHED where another session would make the call, and ours is to */
  #emit(jump: Jump, probes: readonly CallProbe[], goesOn: 'behind' | 'elsewhere', origin: bigint): SyscallTrampoline {
    const place = { ...this.#place, goesOn } as const;
    const of = (wanted: CallProbe['when']) =>
      probes.filter(({ when }) => when === wanted).map(({ program }) => program);
    if (jump === this.#back) {
      const trail = this.#module.elf.bytesAt(BigInt(this.#site.at + SYSCALL_SIZE), this.#site.trail);
      return emitBehind(of('exit'), { ...place, trail }, origin);
    }
    // What may answer the call comes last, so that the others see it.
    const enter = of('enter').sort((a, b) => Number(mayAnswer(a)) - Number(mayAnswer(b)));
    const exit = of('exit');
    if (goesOn === 'elsewhere') {
      if (exit.length > 0) throw this.#refuseSecondCaller('seeEnd');
      if (changedArguments(enter.map(({ program }) => program)).length > 0) throw this.#refuseSecondCaller('change');
    }
    const makesCall = place.lead.length < JUMP_SIZE || exit.length > 0;
    return makesCall ? emitAround(enter, exit, place, origin) : emitBefore(enter, place, origin);
  }

  #refuseSecondCaller(wish: keyof typeof WISHES): AttachError {
    const { what, why } = WISHES[wish];
    return new AttachError(
      'ATTACH_SITE_PATCHED',
      `cannot attach to ${what} of ${this.name}: another session is there`,
      {
        why: `the call would have to be made from our code, since ${why}, and only the session that came first may do that`,
        fix: 'take the other probe off first',
      },
    );
  }

  /** Whoever patched the place first would have its patch taken for the original, unless it is known what stood there before. */
  #requireUntouched(): void {
    const start = this.bytes[0]!;
    const found = this.#injection.process.memory.readUpTo(start, this.bytes.length).slice();
    const file = this.#module.elf.bytesAt(start - this.#module.bias, this.bytes.length);
    if (Buffer.compare(found, file) === 0) return;
    const jumps = this.#back === undefined ? [this.#front] : [this.#front, this.#back];
    for (const jump of jumps) {
      if (this.#injection.behindSite(this.#seen(jump)) !== undefined) found.set(jump.original, Number(jump.at - start));
    }
    if (Buffer.compare(found, file) === 0) return;
    throw new AttachError('ATTACH_SITE_PATCHED', `cannot attach to ${this.name}: its code is not what the file has`, {
      why: `the code in memory differs from ${this.#module.path}: another tracer has patched it, or another remora probes a function there`,
      fix: 'take the other probe off first',
    });
  }

  /** What to call it in messages. */
  get name(): string {
    return `the system call at 0x${this.#place.at.toString(16)} in ${this.#module.name}`;
  }
}

function jumpAt(at: bigint, original: Uint8Array): Jump {
  return { at, original, made: undefined, isLaid: false };
}

function isSame(a: CallProbe, b: CallProbe): boolean {
  return a.program.program === b.program.program && a.when === b.when;
}
