/**
 * One probed function: its original bytes, the programs that run there, and the trampoline that the jump at its entry
 * leads to. A probe that comes or goes changes where the jump leads, never code that a thread may be in.
 */
import { emitTrampoline } from '../../arch/x64/trampoline.ts';
import { JUMP_SIZE } from '../../arch/x64/window.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import type { Injection } from '../../inject/injection.ts';
import type { SitePlan } from './plan.ts';

/** A trampoline laid into the target. */
interface LaidTrampoline {
  readonly programs: readonly LoweredProgram[];
  readonly origin: bigint;
  readonly moves: ReadonlyMap<bigint, bigint>;
}

export class UprobeSite {
  readonly #injection: Injection;
  /** Address of the window's first byte. */
  readonly #at: bigint;
  readonly #window: Uint8Array;
  /** In the order they were attached. */
  #programs: readonly LoweredProgram[] = [];
  /** The trampoline made last, and for which programs: a probe that goes and comes back needs no second one. */
  #made: LaidTrampoline | undefined;

  constructor(injection: Injection, { at, window }: SitePlan) {
    this.#injection = injection;
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

  add(program: LoweredProgram): void {
    this.#set([...this.#programs, program]);
  }

  remove(program: LoweredProgram): void {
    const last = this.#programs.lastIndexOf(program);
    this.#set(this.#programs.filter((_, index) => index !== last));
  }

  #set(programs: readonly LoweredProgram[]): void {
    const original = this.#window.subarray(0, JUMP_SIZE);
    if (programs.length === 0) {
      this.#injection.patch({ address: this.#at, original, wanted: original, moves: new Map() });
    } else {
      const { origin, moves } = this.#trampolineFor(programs);
      this.#injection.patch({ address: this.#at, original, wanted: jump(this.#at, origin), moves });
    }
    this.#programs = programs;
  }

  #trampolineFor(programs: readonly LoweredProgram[]): LaidTrampoline {
    const made = this.#made;
    if (made?.programs.length === programs.length && made.programs.every((program, i) => program === programs[i]))
      return made;
    const { origin, result } = this.#injection.layCode(this.#at, (address) => {
      const place = { origin: address, window: this.#window, site: this.#at };
      const { bytes, moves } = emitTrampoline(programs, place);
      return { bytes, result: moves };
    });
    this.#made = { programs, origin, moves: result };
    return this.#made;
  }
}

/** jmp rel32 */
function jump(from: bigint, to: bigint): Uint8Array {
  const bytes = Uint8Array.of(0xe9, 0, 0, 0, 0);
  new DataView(bytes.buffer).setInt32(1, Number(to - from) - JUMP_SIZE, true);
  return bytes;
}
