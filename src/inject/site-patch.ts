/** How the bytes of a site are to be. */
import type { CodeOrigin } from '../process/code-origin.ts';

/** A place whose instructions run elsewhere: what threads that are there need. */
export interface PatchedPlace {
  readonly address: bigint;
  /** Instructions that begin inside its bytes: where threads that are about to run them go on instead. */
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** System calls of our own code that threads may wait in for long: where they go to make the same call again. */
  readonly leaving?: ReadonlyMap<bigint, bigint>;
  /** What must be mapped there, where that may change while we are at work: of libraries that may be unloaded. */
  readonly origin?: CodeOrigin | undefined;
}

/** What is wanted of one site. */
export interface SitePatch extends PatchedPlace {
  /** What stood there before we came. */
  readonly original: Uint8Array;
  /** What is to stand there; `original` to undo. As long as `original`. */
  readonly wanted: Uint8Array;
  /** It keeps threads safe that are still on their way through the other sites: undone when they have left. */
  readonly isGuard?: boolean;
  /** Where the trampoline that `wanted` leads to can be made to lead on to another session's; see chain.ts. */
  readonly onward?: bigint | undefined;
  /** Bytes from `address` on whose instructions run elsewhere, if they are more than `original`. */
  readonly extent?: number;
  /** Bytes of displaced instructions that its trampolines begin with: other sessions lead on behind them. */
  readonly leadIn?: number;
  /** The short jump by which threads come there, if it is padding: it tells whose padding that is. */
  readonly way?: { readonly address: bigint; readonly bytes: Uint8Array };
}

/** True if the place is to be as it was. */
export function isUndo({ original, wanted }: Pick<SitePatch, 'original' | 'wanted'>): boolean {
  return areSame(original, wanted);
}

/** Of a few bytes: a call out of the engine takes longer. */
export function areSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return false;
  return true;
}
