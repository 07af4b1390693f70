/** Where a program of some kind runs for one function: its site, what it sees there, and why it cannot be. */

import type { ContextModel } from '../../compile/context-model.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { AttachError } from '../errors.ts';
import type { UprobeKind } from './kinds.ts';
import type { ProbePlace } from './plan.ts';
import { requireReturnProbeable } from './return-refusals.ts';
import type { LocatedProbe, UprobeSites } from './sites.ts';

export interface KindAtPlace {
  readonly located: LocatedProbe;
  /** The context of a program that is compiled for this place alone. */
  model(address: bigint): ContextModel;
}

/**
 * Makes a target ready for programs of `kind` at functions such as `target`.
 *
 * @throws {AttachError} ATTACH_RETURN_REFUSED, and ATTACH_SITE_* of an unwinder
 */
export function prepareFor(sites: UprobeSites, kind: UprobeKind, target: ResolvedFunction): void {
  if (kind.when !== 'return') return;
  requireReturnProbeable(target);
  sites.prepareReturns(target);
}

/**
 * Finds out how a program of `kind` would run at `place`.
 *
 * @throws {AttachError} ATTACH_ENTRY_ONLY, ATTACH_RETURN_REFUSED, ATTACH_SITE_*
 */
export function locateProbe(sites: UprobeSites, kind: UprobeKind, place: ProbePlace): KindAtPlace {
  const isReturn = kind.when === 'return';
  if (isReturn && place.offset === 0) requireReturnProbeable(place.target);
  const located = sites.locate(place);
  const model = located.where === 'inside' ? kind.modelInside : kind.model;
  if (model === undefined) throw entryOnly(kind, place);
  return { located: isReturn ? { ...located, where: 'return' } : located, model };
}

function entryOnly({ name }: UprobeKind, { target, offset }: ProbePlace): AttachError {
  const place = `${target.module.name}:${target.name}${offset === 0 ? '' : `+${offset}`}`;
  return new AttachError('ATTACH_ENTRY_ONLY', `cannot attach to ${place}: ${name} needs the entry of a function`, {
    why:
      offset === 0
        ? 'it has no size, is a part put apart from its function, or begins with what its caller left in the flags'
        : 'no call begins there that could end or be left out',
    fix: 'attach a uprobe there, or this to the entry of a function',
  });
}
