/** As many programs and maps as nobody writes in one object: they load, count rightly, and leave nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LibraryProbes } from '../../src/attach/uprobe/libraries.ts';
import { LinkerGate } from '../../src/attach/uprobe/load-gate.ts';
import { UprobeSites } from '../../src/attach/uprobe/sites.ts';
import { UprobeAttachImpl } from '../../src/attach/uprobe/uprobe.ts';
import { Injection } from '../../src/inject/injection.ts';
import { atomic, exit, lddw, mov } from '../../src/insn/build.ts';
import { layOut } from '../../src/insn/layout.ts';
import { array } from '../../src/maps/array.ts';
import type { LinkedProgram, ObjectSpec } from '../../src/object/spec.ts';
import { BpfObject } from '../../src/runtime/bpf-object.ts';
import { mapSpec } from '../contract/map-operations.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { waitUntil } from '../support/targets.ts';

const PROGRAMS = 1000;
const MAPS = 4096;
/** Each program has a map, and there are some between. */
const APART = 4;
/** Of the target. */
const FUNCTIONS = 10_000n;

function counting(index: number): LinkedProgram {
  const name = `count_${index}`;
  return {
    name,
    section: 'uprobe',
    insns: layOut([lddw(1, 0n), mov(2, 1), atomic('add', 8, 1, 0, 2), mov(0, 0), exit()]),
    references: new Map([[0, { kind: 'mapValue', map: `map_${index * APART}`, offset: 0 }]]),
    subprograms: [{ name, start: 0, linkage: 'static' }],
    lines: new Map(),
  };
}

const SPEC: ObjectSpec = {
  license: 'MIT',
  programs: Array.from({ length: PROGRAMS }, (_, index) => counting(index)),
  maps: Array.from({ length: MAPS }, (_, index) => mapSpec(array, { name: `map_${index}`, maxEntries: 1 })),
  btf: undefined,
  btfBytes: undefined,
};

describe('an object of many programs and maps', { skip: CANNOT_TRACE }, () => {
  it('J5: 1,000 programs, each at a function of its own, and 4,096 maps count every call, and are gone without a trace', () => {
    using target = new EnteredTarget('many');
    let steps = 0;
    /** Has it call every function once. */
    const call = (): void => {
      const calls = target.counter('calls');
      target.set('go', ++steps);
      waitUntil('every function is called', () => target.counter('calls') === calls + FUNCTIONS, 60_000);
    };
    const before = footprint(target.process);
    const object = new BpfObject(SPEC, {
      inject: (process) => new Injection(process),
      allow: [],
      setup(context, injection) {
        const sites = new UprobeSites(injection);
        const libraries = new LibraryProbes(injection, new LinkerGate(injection, sites));
        context.register(new UprobeAttachImpl(injection, sites, libraries));
      },
    });
    const place = (index: number) => `uprobe:${target.module.name}:many_${10_000 + index}`;
    const places = new Map(object.programs.map(({ name }, index) => [name, place(index)]));
    const { links } = object.attachAll(target.process, places);
    assert.equal(links.length, PROGRAMS);
    call();
    call();
    object.detachAll();
    call();
    for (const link of links) assert.deepEqual([link.hits, link.missed], [2n, 0n]);
    const counts = object.maps.map((map) => Number(new BigUint64Array(Uint8Array.from(map.lookup(0)!).buffer)[0]));
    assert.deepEqual(
      counts,
      counts.map((_, index) => (index % APART === 0 && index < PROGRAMS * APART ? 2 : 0)),
    );
    object[Symbol.dispose]();
    assert.equal(target.counter('wrong'), 0n);
    assert.deepEqual(footprint(target.process), before);
  });
});
