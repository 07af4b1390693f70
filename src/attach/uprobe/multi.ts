/**
 * One program at many functions: `uprobe.multi`, `uretprobe.multi`. As in libbpf one link holds all that the pattern matches, its hits are those of
 * all sites together, and a single function that cannot be probed makes the whole attach fail: nothing is left out silently.
 */
import { callSharedBody, emitSharedBody, type SharedPlace } from '../../arch/x64/shared-body.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import { CompileError } from '../../compile/errors.ts';
import type { Injection } from '../../inject/injection.ts';
import { functionsMatching } from '../../process/functions.ts';
import type { Module } from '../../process/module.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { AttachEntry, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import type { UprobeKind } from './kinds.ts';
import { locateProbe, prepareFor } from './locate-probe.ts';
import type { UprobePrivateData } from './private-data.ts';
import type { UprobeSites } from './sites.ts';

/** Sites that share one copy of the program: their addresses lie behind it. */
const SHARING = 4096;
/** How far apart they may lie: a jump must reach the copy from each. */
const SHARED_SPAN = 64n * 1024n * 1024n;

/** What attaching to many needs of the implementation around it. */
export interface ManySites {
  readonly injection: Injection;
  readonly sites: UprobeSites;
  readonly module: Module;
}

/** Attaches to every function that `at` matches. @throws {AttachError} ATTACH_*; nothing is changed then */
export function attachMany(
  { injection, sites, module }: ManySites,
  kind: UprobeKind,
  at: UprobePrivateData,
  callback: EbpfCallback,
): AttachEntry {
  const targets = functionsMatching(module, at.symbol);
  const { offset } = at;
  const addresses = targets.map(({ address }) => address + BigInt(offset));
  const shared = offset === 0 ? shareAmong(injection, kind, targets, callback) : new Map<bigint, LoweredProgram>();
  const methods = new Set<string>();
  const removes: (() => void)[] = [];
  const detach = (): void => {
    for (const remove of removes) remove();
  };
  try {
    if (offset === 0) prepareFor(sites, kind, targets[0]!);
    targets.forEach((target, n) => {
      const address = addresses[n]!;
      const { located, model } = locateProbe(sites, kind, { target, offset });
      const common = located.where === 'inside' ? undefined : shared.get(address);
      const program = common ?? callback.compile(model(address), address);
      removes.push(sites.add(located, { program, missedCell: callback.missedCell }));
      methods.add(located.site.method);
    });
  } catch (error) {
    detach();
    throw error instanceof AttachError ? among(targets.length, error) : error;
  }
  return {
    target: `${module.name}:${at.symbol}${offset === 0 ? '' : `+${offset}`}`,
    address: addresses[0]!,
    addresses,
    method: [...methods].join(', '),
    detach,
  };
}

/** By address of the entry: a call to a copy of the program that many share. None where the program cannot be shared. */
function shareAmong(
  injection: Injection,
  { shared: sharing }: UprobeKind,
  targets: readonly ResolvedFunction[],
  callback: EbpfCallback,
): ReadonlyMap<bigint, LoweredProgram> {
  const shared = new Map<bigint, LoweredProgram>();
  if (sharing === undefined) return shared;
  for (const group of groups(targets)) {
    if (group.length === 1) continue;
    let program: LoweredProgram;
    try {
      program = callback.compile(sharing.model, group[0]!.address);
    } catch (error) {
      // A function of the program may ask for the site; if it is anything else, compiling for one site says it again.
      if (error instanceof CompileError) continue;
      throw error;
    }
    const calls = callsTo(injection, program, sharing.place, group);
    group.forEach(({ address }, n) => {
      shared.set(address, calls[n]!);
    });
  }
  return shared;
}

/** By compiled program and the sites it is at: what goes and comes back needs no second copy. */
const laid = new WeakMap<LoweredProgram, Map<string, readonly LoweredProgram[]>>();

/** Lays copies of a program that all of `group` share; the result calls them, one for each target. */
function callsTo(
  injection: Injection,
  program: LoweredProgram,
  place: SharedPlace,
  group: readonly ResolvedFunction[],
): readonly LoweredProgram[] {
  const known = laid.get(program) ?? new Map<string, readonly LoweredProgram[]>();
  laid.set(program, known);
  const key = group.map(({ address }) => address).join();
  let calls = known.get(key);
  if (calls !== undefined) return calls;
  calls = chunks(group, SHARING).flatMap((sharing) => {
    const addresses = sharing.map(({ address }) => address);
    const { result } = injection.layCode(addresses[0]!, (origin) => {
      const { bytes, body } = emitSharedBody(program, addresses, origin, place);
      return { bytes, result: body };
    });
    return addresses.map((_, index) => callSharedBody(result, index));
  });
  known.set(key, calls);
  return calls;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size));
}

/** Runs of targets, which are in ascending order, that one copy of a program can serve. */
function groups(targets: readonly ResolvedFunction[]): ResolvedFunction[][] {
  const all: ResolvedFunction[][] = [];
  for (const target of targets) {
    const group = all.at(-1);
    if (group !== undefined && target.address - group[0]!.address < SHARED_SPAN) group.push(target);
    else all.push([target]);
  }
  return all;
}

function among(count: number, { code, message, why }: AttachError): AttachError {
  return new AttachError(code, count === 1 ? message : `${message}; none of the ${count} functions was attached to`, {
    ...(why !== undefined && { why }),
    fix: 'narrow the pattern so that it leaves this function out',
  });
}
