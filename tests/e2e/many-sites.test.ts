/** One program at many functions of a live process, all in one stop. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { ReturningTarget } from '../support/returning-target.ts';
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
  it('J4: is attached to 10,000 of them in one stop, counts every call, and leaves no trace', () => {
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

describe('a program at the returns of many functions', { skip: CANNOT_TRACE }, () => {
  it('is one link, counts every return beside programs at the entries, and leaves no trace', () => {
    using target = new Many();
    const before = footprint(target.process);
    const object = openObject(fixture('function-calls'));
    const pattern = `${target.module.name}:many_100??`;
    const returns = object.program('on_return').attachTo(target.process, `uretprobe.multi:${pattern}`);
    const entries = object.program('on_entry').attachTo(target.process, `uprobe.multi:${pattern}`);
    assert.deepEqual([returns.kind, returns.addresses.length], ['uretprobe.multi', 100]);
    target.call();
    target.call();
    assert.deepEqual([returns.hits, returns.missed, entries.hits], [200n, 0n, 200n]);
    returns.detach();
    target.call();
    assert.deepEqual([returns.hits, entries.hits], [200n, 300n]);
    object[Symbol.dispose]();
    assert.equal(target.counter('wrong'), 0n);
    assert.deepEqual(footprint(target.process), before);
  });

  it('knows which function has returned, what, and where to', () => {
    using target = new Many();
    using object = openObject(fixture('function-calls'));
    const link = object
      .program('on_return')
      .attachTo(target.process, `uretprobe.multi:${target.module.name}:many_1012?`);
    target.call();
    const seen = object.map('seen').entries();
    const [ax, ip, functionIp, value, retval] = [5, 6, 7, 8, 9].map((slot) => BigInt(seen[slot]!.value as number));
    // The last of them was called last, with 0.
    assert.deepEqual([ax, value, retval, functionIp], [10129n, 10129n, 10129n, link.addresses.at(-1)]);
    assert.ok(target.module.holdsCode(ip!));
  });

  it('is missed or told of every exception that passes, which arrives all the same', () => {
    using target = new ReturningTarget('throwing', 'threads');
    using process = openProcess(target.pid);
    using object = openObject(fixture('function-calls'));
    const returns = object.program('on_return').attachTo(process, 'uretprobe.multi:throwing:probed_*');
    const calls = target.run();
    assert.equal(target.wrong, 0n);
    assert.equal(returns.addresses.length, 3, 'parts put apart are no functions');
    assert.equal(returns.hits + returns.missed, calls);
    assert.ok(returns.hits > 0n && returns.missed > 0n);
  });

  it('is attached to none if one cannot be probed, and says which and why', () => {
    using target = new Many();
    const before = footprint(target.process);
    const object = openObject(fixture('function-calls'));
    const attach = (place: string) => () => object.program('on_return').attachTo(target.process, place);
    assert.throws(attach('uretprobe.multi:libc.so.6:*setjmp'), {
      code: 'ATTACH_RETURN_REFUSED',
      message: /setjmp: it may return more than once.*none of the \d+ functions was attached to/,
    });
    assert.throws(attach(`uretprobe.multi:${target.module.name}:many_1000?+7`), { code: 'ATTACH_ENTRY_ONLY' });
    assert.throws(attach('uprobe.session:libc.so.6:get*'), {
      code: 'ATTACH_NO_IMPL',
      message: /nothing serves 'uprobe.session'/,
    });
    object[Symbol.dispose]();
    assert.deepEqual(footprint(target.process), before);
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
