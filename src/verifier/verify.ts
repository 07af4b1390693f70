/**
 * The verifier: proves that a program ends, reads and writes only what it may, and calls helpers by their contracts; or
 * says where it does not.
 */
import type { Btf } from '../btf/btf.ts';
import type { Permission, Prototype } from '../helpers/prototype.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { checkStructure, type VerifiedProgram } from './check-structure.ts';
import { VerifierError } from './errors.ts';
import type { ProgramKind } from './program-kind.ts';
import type { State } from './state.ts';

/** What surrounds a program. */
export interface VerifyOptions {
  readonly kind: ProgramKind;
  /** Those it may call, by number. */
  readonly helpers: ReadonlyMap<number, Prototype>;
  /** Those its references name. */
  readonly maps: ReadonlyMap<string, MapSpec>;
  /** The object's types; global functions are checked by them. */
  readonly btf: Btf | undefined;
  /** What the user lets programs change. */
  readonly allow: ReadonlySet<Permission>;
  /** Sees each state before its instruction is stepped over. It may not change or keep the state. */
  readonly observe?: (state: State) => void;
}

/** How much work a verdict was. */
export interface Effort {
  /** Instructions stepped over, on all paths. */
  readonly insnsProcessed: number;
  /** Most states kept at once. */
  readonly peakStates: number;
}

/** What the verifier found. */
export type Verdict =
  | { readonly verdict: 'accept'; readonly program: VerifiedProgram; readonly effort: Effort }
  | { readonly verdict: 'reject'; readonly error: VerifierError; readonly effort: Effort };

/** Verifies one program. */
export function verify(program: LinkedProgram, options: VerifyOptions): Verdict {
  const effort = { insnsProcessed: 0, peakStates: 0 };
  try {
    const verified = checkStructure(program, { helpers: options.helpers, arguments: 1, loops: 'refuse' });
    return { verdict: 'accept', program: verified, effort };
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error;
    return { verdict: 'reject', error, effort };
  }
}
