/**
 * One patched place: its original bytes, the programs that run there, and the trampoline that the jump leads to. A probe
 * that comes or goes changes where the jump leads, never code that a thread may be in.
 */
import { NEAR_JUMP_SIZE, nearJump, nearJumpTarget } from '../../arch/x64/near-jump.ts';
import { shortJump } from '../../arch/x64/short-jump.ts';
import { emitTrampoline } from '../../arch/x64/trampoline.ts';
import { JUMP_SIZE } from '../../arch/x64/window.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import type { Injection } from '../../inject/injection.ts';
import type { SitePatch } from '../../inject/site-patch.ts';
import type { CodeOrigin } from '../../process/code-origin.ts';
import { AttachError } from '../errors.ts';
import { methodOf, type SitePlace } from './plan.ts';
import type { ReturnStack } from './return-stack.ts';

/** A program at an instruction of the window. */
export interface SiteProbe {
  readonly at: bigint;
  /**
   * 'entry': compiled for the first instruction of a function, where flags and the red zone are free; 'return': for where
   * the function that begins there has returned.
   */
  readonly where: 'entry' | 'inside' | 'return';
  readonly program: LoweredProgram;
  /** For programs that run at the return: what counts those that were missed. */
  readonly missedCell?: bigint;
  /** It keeps threads safe on their way through other sites. */
  readonly isGuard?: boolean;
}

/** What a site needs beside its place. */
export interface SiteNeeds {
  /** Asked for when the first program comes that runs at the return. */
  readonly returnStack: () => ReturnStack;
  /** What is mapped at an address of it, if that may be unloaded. */
  readonly originAt: (address: bigint) => CodeOrigin | undefined;
}

/** A trampoline laid into the target. */
interface LaidTrampoline {
  readonly probes: readonly SiteProbe[];
  readonly origin: bigint;
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** Where it leads on to the trampoline of another session, if it was made to. */
  readonly onward: bigint | undefined;
}

export class UprobeSite {
  readonly place: SitePlace;
  readonly #injection: Injection;
  readonly #needs: SiteNeeds;
  /** In the order they were attached, guards first. */
  #probes: readonly SiteProbe[] = [];
  /** Those that the jump leads to, when the batch has ended. */
  #settled = this.#probes;
  /** The trampoline made last, and for which probes: one that goes and comes back needs no second. */
  #made: LaidTrampoline | undefined;

  constructor(injection: Injection, place: SitePlace, needs: SiteNeeds) {
    this.#injection = injection;
    this.place = place;
    this.#needs = needs;
  }

  /** How threads come from here to the programs. */
  get method(): string {
    return methodOf(this.place);
  }

  /** True while a jump stands there. */
  get isPatched(): boolean {
    return this.#probes.length > 0;
  }

  /** The first address behind the window. */
  get end(): bigint {
    return this.place.at + BigInt(this.place.window.length);
  }

  /** True if the instruction at `address` is one that its jump takes the place of. */
  displaces(address: bigint): boolean {
    return address >= this.place.at && address < this.end;
  }

  /** The bytes that are its, patched or displaced. */
  get ranges(): readonly { readonly at: bigint; readonly size: number }[] {
    const { at, window, island } = this.place;
    const own = { at, size: window.length };
    return island === undefined ? [own] : [own, { at: island.at, size: JUMP_SIZE }];
  }

  /** @throws {AttachError} ATTACH_SITE_INSTRUCTION; nothing is changed then */
  add(probe: SiteProbe): void {
    const before = this.#probes;
    // Whether there can be a program is shown by the first at its instruction; all that come after it are laid together.
    const isShown = before.some(({ at, where }) => at === probe.at && where === probe.where);
    this.#change(probe.isGuard ? [probe, ...before] : [...before, probe], isShown ? 'at end of batch' : 'now');
  }

  remove(probe: SiteProbe): void {
    const left = this.#probes.filter((known) => known !== probe);
    // Another site may come to its bytes in the same batch.
    this.#change(left, left.length === 0 ? 'now' : 'at end of batch');
  }

  /** Puts the original bytes back; the result is what ran here. */
  clear(): readonly SiteProbe[] {
    const probes = this.#probes;
    this.#change([], 'now');
    return probes;
  }

  /** Its library was unloaded: nothing is there any more. The result is what ran here. */
  forget(): readonly SiteProbe[] {
    const probes = this.#probes;
    this.#probes = [];
    this.#settled = this.#probes;
    return probes;
  }

  #change(probes: readonly SiteProbe[], settle: 'now' | 'at end of batch'): void {
    const before = this.#probes;
    this.#injection.batch(() => {
      this.#probes = probes;
      this.#injection.onFailure(() => {
        this.#probes = before;
      });
      if (settle === 'at end of batch') {
        this.#injection.atEndOfBatch(this.#settle);
        return;
      }
      try {
        this.#settle();
      } catch (error) {
        this.#probes = before;
        throw error;
      }
    });
  }

  /** Has the jump lead to a trampoline for the programs that are here now, or takes it away. */
  readonly #settle = (): void => {
    const probes = this.#probes;
    const before = this.#settled;
    if (probes === before) return;
    const trampoline = probes.length === 0 ? undefined : this.#trampolineFor(probes);
    const isGuard = probes.some((probe) => probe.isGuard);
    const patches = this.#patches(trampoline);
    // The way is built from its end, and taken down from its beginning.
    if (trampoline === undefined) patches.reverse();
    for (const patch of patches) this.#injection.patch({ ...patch, isGuard });
    this.#settled = probes;
    this.#injection.onFailure(() => {
      this.#settled = before;
    });
  };

  /** What leads to `origin`, or nowhere; the last link of the chain first. */
  #patches(trampoline: LaidTrampoline | undefined): SitePatch[] {
    const { at, window, island } = this.place;
    const { origin, onward, moves = NO_MOVES } = trampoline ?? {};
    const link = (address: bigint, bytes: Uint8Array, jump: Uint8Array) => {
      const original = bytes.subarray(0, jump.length);
      const wanted = origin === undefined ? original : jump;
      return { address, original, wanted, extent: bytes.length, origin: this.#needs.originAt(address) };
    };
    if (island === undefined) return [{ ...link(at, window, nearJump(at, origin ?? at)), moves, onward }];
    return [
      {
        ...link(island.at, island.original, nearJump(island.at, origin ?? at)),
        moves: NO_MOVES,
        onward,
        way: { address: at, bytes: shortJump(at, island.at) },
      },
      { ...link(at, window, shortJump(at, island.at)), moves },
    ];
  }

  #trampolineFor(probes: readonly SiteProbe[]): LaidTrampoline {
    const { at: site, window, name, island } = this.place;
    const jump = island ?? { at: site, original: window.subarray(0, JUMP_SIZE) };
    const behind = this.#injection.behindSite({ address: jump.at, original: jump.original });
    const made = this.#made;
    // A thread may be in one that was made earlier: where that leads on to must not change.
    if (made !== undefined && isFor(made, probes) && this.#leadsOnTo(made) === behind) return made;
    const at = (where: SiteProbe['where']) => probes.filter((probe) => probe.where === where);
    const inside = pointsOf(at('inside'));
    const entry = programsOf(at('entry'));
    const hook = this.#hookFor(at('return'), entry);
    const goesOn = behind === undefined ? 'behind' : 'elsewhere';
    try {
      const { origin, result } = this.#injection.layCode(site, (address) => {
        const { bytes, ...laid } = emitTrampoline(entry, { origin: address, window, site, inside, goesOn }, hook);
        return { bytes, result: laid };
      });
      if (behind !== undefined && result.onward === undefined) throw occupied(name);
      if (result.back !== undefined) hook?.setLabel(result.back);
      this.#made = { probes, origin, moves: result.moves, onward: result.onward };
      return this.#made;
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new AttachError('ATTACH_SITE_INSTRUCTION', `cannot attach to ${name}: ${cause.message}`, { cause });
    }
  }

  #leadsOnTo({ onward }: LaidTrampoline): bigint | undefined {
    if (onward === undefined) return undefined;
    return nearJumpTarget(onward, this.#injection.process.memory.read(onward, NEAR_JUMP_SIZE));
  }

  #hookFor(returns: readonly SiteProbe[], entry: readonly LoweredProgram[]) {
    if (returns.length === 0) return undefined;
    const missedCells = returns.flatMap(({ missedCell }) => missedCell ?? []);
    const programs = programsOf(returns);
    return { ...this.#needs.returnStack().hook(this.place.at, missedCells, { push: entry, pop: programs }), programs };
  }
}

const NO_MOVES: ReadonlyMap<bigint, bigint> = new Map();

function isFor(made: LaidTrampoline, probes: readonly SiteProbe[]): boolean {
  return made.probes.length === probes.length && made.probes.every(({ program }, i) => program === probes[i]!.program);
}

function occupied(name: string): AttachError {
  return new AttachError(
    'ATTACH_SITE_PATCHED',
    `cannot attach to ${name}: another session has a probe in front of it`,
    {
      why: 'it runs the instructions there in its own code, where they cannot be probed',
      fix: 'take the other probe off first',
    },
  );
}

const programsOf = (probes: readonly SiteProbe[]) => probes.map(({ program }) => program);

/** By address; the programs of each in the order they were attached. */
function pointsOf(probes: readonly SiteProbe[]) {
  const points = new Map<bigint, LoweredProgram[]>();
  for (const { at, program } of probes) points.set(at, [...(points.get(at) ?? []), program]);
  return [...points].map(([at, programs]) => ({ at, programs })).sort((a, b) => Number(a.at - b.at));
}
