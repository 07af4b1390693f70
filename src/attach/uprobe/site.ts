/**
 * One probed function: its original bytes, the programs that run there, and the trampoline that the jump at its entry
 * leads to. A probe that comes or goes changes where the jump leads, never code that a thread may be in.
 */
import { emitTrampoline } from '../../arch/x64/trampoline.ts';
import { JUMP_SIZE } from '../../arch/x64/window.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import type { Injection } from '../../inject/injection.ts';
import type { SitePlan } from './plan.ts';
import type { ReturnStack } from './return-stack.ts';

/** A program at a site. */
export interface SiteProgram {
  readonly when: 'entry' | 'return';
  readonly code: LoweredProgram;
  /** For programs that run at the return: what counts those that were missed. */
  readonly missedCell?: bigint;
  /** It keeps threads safe on their way through other sites. */
  readonly isGuard?: boolean;
}

/** A trampoline laid into the target. */
interface LaidTrampoline {
  readonly programs: readonly SiteProgram[];
  readonly origin: bigint;
  readonly moves: ReadonlyMap<bigint, bigint>;
}

export class UprobeSite {
  readonly #injection: Injection;
  /** Address of the window's first byte. */
  readonly #at: bigint;
  readonly #window: Uint8Array;
  readonly #returnStack: () => ReturnStack;
  /** In the order they were attached. */
  #programs: readonly SiteProgram[] = [];
  /** The trampoline made last, and for which programs: a probe that goes and comes back needs no second one. */
  #made: LaidTrampoline | undefined;

  /** @param returnStack asked for when the first program comes that runs at the return */
  constructor(injection: Injection, { at, window }: SitePlan, returnStack: () => ReturnStack) {
    this.#injection = injection;
    this.#returnStack = returnStack;
    this.#at = at;
    this.#window = window;
  }

  /** Address of the first byte that is displaced. */
  get start(): bigint {
    return this.#at;
  }

  /** The first address behind the displaced bytes. */
  get end(): bigint {
    return this.#at + BigInt(this.#window.length);
  }

  add(program: SiteProgram): void {
    this.#set([...this.#programs, program]);
  }

  /** Adds a guard, or makes sure that it is still there: the patch may have been part of a change that failed. */
  guard(program: () => LoweredProgram): void {
    const isThere = this.#programs.some(({ isGuard }) => isGuard);
    this.#set(isThere ? this.#programs : [{ when: 'entry', code: program(), isGuard: true }, ...this.#programs]);
  }

  remove(program: SiteProgram): void {
    this.#set(this.#programs.filter((other) => other !== program));
  }

  #set(programs: readonly SiteProgram[]): void {
    const original = this.#window.subarray(0, JUMP_SIZE);
    if (programs.length === 0) {
      this.#injection.patch({ address: this.#at, original, wanted: original, moves: new Map() });
    } else {
      const { origin, moves } = this.#trampolineFor(programs);
      const isGuard = programs.some((program) => program.isGuard);
      this.#injection.patch({ address: this.#at, original, wanted: jump(this.#at, origin), moves, isGuard });
    }
    this.#programs = programs;
  }

  #trampolineFor(programs: readonly SiteProgram[]): LaidTrampoline {
    const made = this.#made;
    const isSame = made?.programs.every(({ code }, i) => code === programs[i]?.code);
    if (isSame && made?.programs.length === programs.length) return made;
    const codes = (when: SiteProgram['when']) => programs.filter((p) => p.when === when).map(({ code }) => code);
    const returns = programs.filter(({ when }) => when === 'return');
    const hook =
      returns.length === 0
        ? undefined
        : this.#returnStack().hook(
            this.#at,
            returns.flatMap(({ missedCell }) => missedCell ?? []),
          );
    const { origin, result } = this.#injection.layCode(this.#at, (address) => {
      const place = { origin: address, window: this.#window, site: this.#at };
      const { bytes, ...laid } = emitTrampoline(codes('entry'), place, hook && { ...hook, programs: codes('return') });
      return { bytes, result: laid };
    });
    if (result.back !== undefined) hook?.setLabel(result.back);
    this.#made = { programs, origin, moves: result.moves };
    return this.#made;
  }
}

/** jmp rel32 */
function jump(from: bigint, to: bigint): Uint8Array {
  const bytes = Uint8Array.of(0xe9, 0, 0, 0, 0);
  new DataView(bytes.buffer).setInt32(1, Number(to - from) - JUMP_SIZE, true);
  return bytes;
}
