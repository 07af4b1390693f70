/**
 * One program at many functions: `uprobe.multi`. As in libbpf one link holds all that the pattern matches, its hits are those of
 * all sites together, and a single function that cannot be probed makes the whole attach fail: nothing is left out silently.
 */
import { callSharedBody, emitSharedBody } from '../../arch/x64/shared-body.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import { CompileError } from '../../compile/errors.ts';
import type { Injection } from '../../inject/injection.ts';
import { functionsMatching } from '../../process/functions.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { AttachEntry, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { SHARED_ENTRY, UPROBE_MULTI } from './kinds.ts';
import type { UprobePrivateData } from './private-data.ts';
import type { SiteProgram, UprobeSite } from './site.ts';

/** Sites that share one copy of the program: their addresses lie behind it. */
const SHARING = 4096;
/** How far apart they may lie: a jump must reach the copy from each. */
const SHARED_SPAN = 64n * 1024n * 1024n;

/** What attaching to many needs of the implementation around it. */
export interface ManySites {
  readonly injection: Injection;
  /** @throws {AttachError} ATTACH_SITE_* */
  siteOf(target: ResolvedFunction): UprobeSite;
}

/** Attaches to every function that `at` matches. @throws {AttachError} ATTACH_*; nothing is changed then */
export function attachMany(
  { injection, siteOf }: ManySites,
  at: UprobePrivateData,
  callback: EbpfCallback,
): AttachEntry {
  const { process } = injection;
  const module = process.findModule(at.binary);
  const targets = functionsMatching(module, at.symbol);
  const sites = targets.map((target) => {
    try {
      return siteOf(target);
    } catch (error) {
      throw error instanceof AttachError ? among(targets.length, error) : error;
    }
  });
  requireApart(targets, sites);
  const { missedCell } = callback;
  const programs = compileForAll(injection, targets, callback).map(
    (code): SiteProgram => ({ when: 'entry', code, missedCell }),
  );
  let attached = 0;
  const detach = (): void => {
    for (let n = 0; n < attached; n++) sites[n]!.remove(programs[n]!);
    attached = 0;
  };
  try {
    for (const site of sites) {
      site.add(programs[attached]!);
      attached++;
    }
  } catch (error) {
    detach();
    throw error;
  }
  return {
    target: `${module.name}:${at.symbol}`,
    address: targets[0]!.address,
    addresses: targets.map(({ address }) => address),
    method: 'jump',
    detach,
  };
}

/** The program for each target: a call to a copy that many share or, where the program cannot be shared, its own. */
function compileForAll(
  injection: Injection,
  targets: readonly ResolvedFunction[],
  callback: EbpfCallback,
): LoweredProgram[] {
  return groups(targets).flatMap((group) => {
    const { address } = group[0]!;
    const own = () => group.map((target) => callback.compile(UPROBE_MULTI.model(target.address), target.address));
    if (group.length === 1) return own();
    let program: LoweredProgram;
    try {
      program = callback.compile(SHARED_ENTRY, address);
    } catch (error) {
      // A function of the program may ask for the site; if it is anything else, compiling once more says it again.
      if (error instanceof CompileError) return own();
      throw error;
    }
    return callsTo(injection, program, group);
  });
}

/** By compiled program and the sites it is at: what goes and comes back needs no second copy. */
const laid = new WeakMap<LoweredProgram, Map<string, readonly LoweredProgram[]>>();

/** Lays copies of a program that all of `group` share; the result calls them, one for each target. */
function callsTo(
  injection: Injection,
  program: LoweredProgram,
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
      const { bytes, body } = emitSharedBody(program, addresses, origin);
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

/** Functions may begin inside others. */
function requireApart(targets: readonly ResolvedFunction[], sites: readonly UprobeSite[]): void {
  sites.forEach((site, n) => {
    const next = sites[n + 1];
    if (next === undefined || site.end <= next.start) return;
    const names = `${targets[n]!.name} and ${targets[n + 1]!.name}`;
    throw among(
      targets.length,
      new AttachError(
        'ATTACH_SITE_TOO_SHORT',
        `cannot attach to ${names}: the jump of the first would lie over the second`,
      ),
    );
  });
}

function among(count: number, { code, message, why }: AttachError): AttachError {
  return new AttachError(code, count === 1 ? message : `${message}; none of the ${count} functions was attached to`, {
    ...(why !== undefined && { why }),
    fix: 'narrow the pattern so that it leaves this function out',
  });
}
