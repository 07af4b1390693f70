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
import { repetitions } from '../support/long-form.ts';
import { waitUntil } from '../support/targets.ts';

const PROGRAMS = 1000;
const MAPS = 4096;
/** Programs at one and the same function. */
const TOGETHER = repetitions(150, 1000);
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

/** An object with some programs and more maps. */
function many(programs: number, maps: number): ObjectSpec {
  return {
    license: 'MIT',
    programs: Array.from({ length: programs }, (_, index) => counting(index)),
    maps: Array.from({ length: maps }, (_, index) => mapSpec(array, { name: `map_${index}`, maxEntries: 1 })),
    btf: undefined,
    btfBytes: undefined,
  };
}

/** Tells how often code is laid for an instruction. */
class CountedInjection extends Injection {
  readonly #laid = new Map<bigint, number>();

  override layCode<T>(near: bigint, emit: (address: bigint) => { readonly bytes: Uint8Array; readonly result: T }) {
    this.#laid.set(near, this.laidFor(near) + 1);
    return super.layCode(near, emit);
  }

  laidFor(near: bigint): number {
    return this.#laid.get(near) ?? 0;
  }
}

/** An object with all its programs, and the injection that it has made last. */
function openMany(spec: ObjectSpec): { readonly object: BpfObject; injection(): CountedInjection } {
  let injection: CountedInjection | undefined;
  const object = new BpfObject(spec, {
    inject: (process) => {
      injection = new CountedInjection(process);
      return injection;
    },
    allow: [],
    setup(context, made) {
      const sites = new UprobeSites(made);
      const libraries = new LibraryProbes(made, new LinkerGate(made, sites));
      context.register(new UprobeAttachImpl(made, sites, libraries));
    },
  });
  return { object, injection: () => injection! };
}

/** A program with many functions, which it calls when it is told to. */
class CallingMany implements Disposable {
  readonly entered = new EnteredTarget('many');
  #steps = 0;

  /** Has it call every function once. */
  call(): void {
    const calls = this.entered.counter('calls');
    this.entered.set('go', ++this.#steps);
    waitUntil('every function is called', () => this.entered.counter('calls') === calls + FUNCTIONS, 60_000);
  }

  /** Where a probe of one of the functions is attached. */
  place(index: number): string {
    return `uprobe:${this.entered.module.name}:many_${10_000 + index}`;
  }

  [Symbol.dispose](): void {
    this.entered[Symbol.dispose]();
  }
}

describe('an object of many programs and maps', { skip: CANNOT_TRACE }, () => {
  it('J5: 1,000 programs, each at a function of its own, and 4,096 maps count every call, and are gone without a trace', () => {
    using calling = new CallingMany();
    const { entered: target } = calling;
    const before = footprint(target.process);
    const { object } = openMany(many(PROGRAMS, MAPS));
    const places = new Map(object.programs.map(({ name }, index) => [name, calling.place(index)]));
    const { links } = object.attachAll(target.process, places);
    assert.equal(links.length, PROGRAMS);
    calling.call();
    calling.call();
    object.detachAll();
    calling.call();
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

  it(`J5: ${TOGETHER} programs at one function are laid there together, however many they are, and taken off together`, () => {
    using calling = new CallingMany();
    const { entered: target } = calling;
    const before = footprint(target.process);
    const { object, injection } = openMany(many(TOGETHER, TOGETHER * APART));
    const places = new Map(object.programs.map(({ name }) => [name, calling.place(0)]));
    const { links } = object.attachAll(target.process, places);
    const laid = () => injection().laidFor(links[0]!.address);
    assert.equal(laid(), 2, 'the first one, to see whether it can be, and all of them');
    calling.call();
    const [first, ...others] = links;
    first!.detach();
    assert.equal(laid(), 3, 'without the first');
    calling.call();
    const again = object.program('count_0').attachTo(target.process, calling.place(0));
    assert.equal(laid(), 4, 'with it, behind the others');
    calling.call();
    object.detachAll();
    assert.equal(laid(), 4, 'nothing is laid for those that go');
    calling.call();
    assert.deepEqual([first!.hits, again.hits, ...others.map(({ hits }) => hits)], [1n, 1n, ...others.map(() => 3n)]);
    object[Symbol.dispose]();
    assert.equal(target.counter('wrong'), 0n);
    assert.deepEqual(footprint(target.process), before);
  });
});
