/** What surrounds a program that is to be verified. */
import type { Btf } from '../btf/btf.ts';
import type { Permission, Prototype } from '../helpers/prototype.ts';
import type { MapSpec } from '../maps/map-type.ts';
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
