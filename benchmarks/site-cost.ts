/** What attaching one program to many functions costs, and taking it off again. */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { openObject, openProcess } from '../src/index.ts';
import { compileTarget, startTarget } from '../tests/support/targets.ts';
import { type Spread, spread } from './stats.ts';
import { OBJECT_PATH } from './workloads.ts';

/** Attaching to so many functions at once, over all cycles but the first, which warms up. */
export interface SiteCost {
  readonly sites: number;
  readonly attachMs: Spread;
  readonly detachMs: Spread;
  readonly pauseUs: Spread;
}

/** The most that so many sites may cost. */
export const SITE_GOALS = { sites: 1000, attachMs: 50, detachMs: 10, pauseUs: 2000 } as const;

/** Patterns of tests/targets/many.c, which has functions many_10000 to many_19999. */
const PATTERNS = ['many_10000', 'many_1000?', 'many_100??', 'many_10???', 'many_1????'];

const PROGRAM = 'count_array';

/** @param cycles how often each is measured */
export function measureSites(cycles: number): SiteCost[] {
  const path = compileTarget('many', ['-falign-functions=16']);
  using target = startTarget(path);
  using process = openProcess(target.pid);
  using object = openObject(readFileSync(OBJECT_PATH));
  const program = object.program(PROGRAM);
  return PATTERNS.map((pattern) => {
    const samples = Array.from({ length: cycles + 1 }, () => {
      const begin = performance.now();
      const link = program.attachUprobeMulti(process, `${path}:${pattern}`);
      const attached = performance.now();
      link.detach();
      const sites = link.addresses.length;
      return { sites, attachMs: attached - begin, detachMs: performance.now() - attached, pauseUs: link.pauseUs };
    }).slice(1);
    return {
      sites: samples[0]!.sites,
      attachMs: spread(samples.map(({ attachMs }) => attachMs)),
      detachMs: spread(samples.map(({ detachMs }) => detachMs)),
      pauseUs: spread(samples.map(({ pauseUs }) => pauseUs)),
    };
  });
}
