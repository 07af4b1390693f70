/**
 * One probed function: its original bytes, the programs that run there, and the trampoline that the jump at its entry
 * leads to. A probe that comes or goes changes where the jump leads, never code that a thread may be in.
 */
import { emitTrampoline } from '../../arch/x64/trampoline.ts';
import { findWindow, JUMP_SIZE, type Window, type WindowRefusal } from '../../arch/x64/window.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import type { Injection } from '../../inject/injection.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { AttachError, type AttachErrorCode } from '../errors.ts';
import type { ReturnStack } from './return-stack.ts';

/** An endbr64, four bytes of instructions, and the longest one there is. */
const LONGEST_WINDOW = 4 + 4 + 15;
/** Bytes behind a function that may be padding of it. */
const PADDING = 16;

const REFUSAL_CODES: Readonly<Record<WindowRefusal['reason'], AttachErrorCode>> = {
  'too short': 'ATTACH_SITE_TOO_SHORT',
  'branch into it': 'ATTACH_SITE_BRANCH',
  'cannot be moved': 'ATTACH_SITE_INSTRUCTION',
  'does not decode': 'ATTACH_SITE_UNREADABLE',
};

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

  /**
   * @param returnStack asked for when the first program comes that runs at the return
   * @throws {AttachError} ATTACH_SITE_*
   */
  constructor(injection: Injection, target: ResolvedFunction, returnStack: () => ReturnStack) {
    const { address, size } = target;
    const code = injection.process.memory.readUpTo(address, size + PADDING);
    requireUntouched(target, code.subarray(0, Math.min(size, LONGEST_WINDOW)));
    const window = findWindow(code, address, size);
    if (isRefusal(window)) {
      throw new AttachError(REFUSAL_CODES[window.reason], `cannot attach to ${target.name}: ${window.detail}`, {
        why: `its first bytes cannot give way to a ${JUMP_SIZE}-byte jump`,
        fix: 'probe a function that it calls, or one that calls it',
      });
    }
    this.#injection = injection;
    this.#returnStack = returnStack;
    this.#at = address + BigInt(window.skip);
    this.#window = code.slice(window.skip, window.skip + window.length);
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

/** Whoever patched the function first would have its patch taken for the original. */
function requireUntouched({ name, module, address }: ResolvedFunction, code: Uint8Array): void {
  const file = module.elf.bytesAt(address - module.bias, code.length);
  const changed = code.findIndex((byte, index) => byte !== file[index]);
  if (changed < 0) return;
  throw new AttachError(
    'ATTACH_SITE_PATCHED',
    `cannot attach to ${name}: its byte ${changed} is not what the file has`,
    {
      why: `the code in memory differs from ${module.path}: a debugger, another tracer or another remora has patched it`,
      fix: 'take the other probe off first',
    },
  );
}

function isRefusal(found: Window | WindowRefusal): found is WindowRefusal {
  return 'reason' in found;
}

/** jmp rel32 */
function jump(from: bigint, to: bigint): Uint8Array {
  const bytes = Uint8Array.of(0xe9, 0, 0, 0, 0);
  new DataView(bytes.buffer).setInt32(1, Number(to - from) - JUMP_SIZE, true);
  return bytes;
}
