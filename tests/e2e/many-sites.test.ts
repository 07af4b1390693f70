/** One program at many functions of a live process, all in one stop. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfObject, openObject } from '../../src/index.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { ROOT } from '../support/root.ts';
import { waitUntil } from '../support/targets.ts';

const FUNCTIONS = 10_000n;

const fixture = (name: string): Uint8Array => readFileSync(join(ROOT, 'tests/objects/clang-14', `${name}.bpf.o`));

/** tests/targets/many.c, whose functions lie `alignment` bytes apart. */
class Many extends EnteredTarget {
  #steps = 0;

  constructor(alignment = 16) {
    super('many', [], [`-falign-functions=${alignment}`]);
  }

  /** Has it call every function once. */
  call(): void {
    const before = this.counter('calls');
    this.set('go', ++this.#steps);
    waitUntil('every function is called', () => this.counter('calls') === before + FUNCTIONS);
  }

  place(pattern: string): ReadonlyMap<string, string> {
    return new Map([['on_call', `uprobe.multi:${this.module.name}:${pattern}`]]);
  }
}

describe('a program at many functions', { skip: CANNOT_TRACE }, () => {
  it('is attached to 10,000 of them in one stop, counts every call, and leaves no trace', () => {
    using target = new Many();
    const before = footprint(target.process);
    const object = openObject(fixture('count'));
    const { links } = object.attachAll(target.process, target.place('many_1????'));
    assert.equal(links.length, 1);
    const link = links[0]!;
    assert.equal(link.addresses.length, Number(FUNCTIONS));
    assert.equal(link.address, link.addresses[0]);
    target.call();
    target.call();
    assert.equal(link.hits, 2n * FUNCTIONS);
    link.detach();
    target.call();
    assert.equal(link.hits, 2n * FUNCTIONS);
    object[Symbol.dispose]();
    assert.equal(target.counter('wrong'), 0n);
    assert.deepEqual(footprint(target.process), before);
  });

  it('may share functions with other links, in any order of coming and going', () => {
    using target = new Many();
    const before = footprint(target.process);
    const object = openObject(fixture('count'));
    const attach = (pattern: string) => object.attachAll(target.process, target.place(pattern)).links[0]!;
    const wide = attach('many_100??');
    const narrow = attach('many_1000?');
    const single = object.program('on_call').attachUprobe(target.process, `${target.module.name}:many_10005`);
    target.call();
    assert.deepEqual([wide.hits, narrow.hits, single.hits], [100n, 10n, 1n]);
    wide.detach();
    target.call();
    assert.deepEqual([wide.hits, narrow.hits, single.hits], [100n, 20n, 2n]);
    narrow.detach();
    const again = attach('many_100??');
    target.call();
    assert.deepEqual([narrow.hits, single.hits, again.hits], [20n, 3n, 100n]);
    object[Symbol.dispose]();
    assert.equal(target.counter('wrong'), 0n);
    assert.deepEqual(footprint(target.process), before);
  });

  it('is attached to none if one cannot be probed, and says which and why', () => {
    using target = new EnteredTarget('tiny');
    const before = footprint(target.process);
    const object = openObject(fixture('count'));
    assert.throws(
      () => object.attachAll(target.process, new Map([['on_call', `uprobe.multi:${target.module.name}:tiny_*`]])),
      { code: 'ATTACH_SITE_TOO_SHORT', message: /tiny_b: .*none of the 3 functions was attached to/ },
    );
    object[Symbol.dispose]();
    assert.deepEqual(footprint(target.process), before);
  });

  it('finds nothing for a pattern that no function matches', () => {
    using target = new Many();
    using object = openObject(fixture('count'));
    assert.throws(() => object.attachAll(target.process, target.place('mony_1*')), {
      code: 'PROCESS_SYMBOL_NOT_FOUND',
    });
  });

  it('knows which function it is at', () => {
    using target = new Many();
    using object = openObject(fixture('helpers'));
    const link = object.attachAll(target.process, target.place('many_1012?')).links[0]!;
    target.call();
    assert.equal(link.hits, 10n);
    // The last of them was called last.
    assert.equal(resultOf(object, 4), link.addresses.at(-1));
  });
});

describe('a function by its C++ name', { skip: CANNOT_TRACE }, () => {
  const attach = (name: string): bigint => {
    using target = new EnteredTarget('tiny');
    using object = openObject(fixture('count'));
    const link = object.program('on_call').attachUprobe(target.process, `tiny:${name}`);
    return link.address - target.address('_ZN2ns3addEil');
  };

  it('is found with its parameters', () => assert.equal(attach('ns::add(int, long)'), 0n));

  it('is refused without them if there are others of that name', () => {
    assert.throws(() => attach('ns::add'), { code: 'PROCESS_SYMBOL_AMBIGUOUS', why: /ns::add\(double\)/ });
  });
});

/** A u64 of an array map. */
function resultOf(object: BpfObject, index: number): bigint {
  const { value } = object.map('results').entries()[index]!;
  return BigInt(value as number | string);
}
