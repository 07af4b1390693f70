/** Entry probes on a live process with threads: counts are exact, results unchanged, code restored. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CALLED, CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { ROOT } from '../support/root.ts';

const fixture = (name: string): Uint8Array => readFileSync(join(ROOT, 'tests/objects/clang-14', `${name}.bpf.o`));

const countOf = (object: BpfObject, map: string): bigint =>
  object
    .map(map)
    .entries()
    .reduce((sum, { value }) => sum + BigInt(value as number | string), 0n);

describe('a uprobe on a running process', () => {
  for (const threads of [1, 16, 64]) {
    it(`counts every call of ${threads} threads, on every kind of entry`, () => {
      using target = new CallsTarget(threads);
      const before = codeHashes(target.pid);
      using process = openProcess(target.pid);
      using object = openObject(fixture('count'));
      const links = CALLED.map((symbol) => object.program('on_call').attachUprobe(process, `calls:${symbol}`));
      const calls = Math.ceil(200_000 / threads);
      target.call(calls);
      const made = BigInt(calls * threads);
      assert.deepEqual(
        links.map(({ hits }) => hits),
        links.map(() => made),
      );
      assert.equal(countOf(object, 'counts'), made * BigInt(links.length));
      for (const link of links) link.detach();
      target.call(100);
      assert.deepEqual(
        links.map(({ hits }) => hits),
        links.map(() => made),
        'nothing is counted after detach',
      );
      object[Symbol.dispose]();
      assert.equal(target.wrong, 0n);
      assert.deepEqual(codeHashes(target.pid), before);
    });
  }

  it('counts by argument in a hash, exactly, with 16 threads inserting', () => {
    using target = new CallsTarget(16);
    using process = openProcess(target.pid);
    using object = openObject(readFileSync(join(ROOT, 'examples/malloc-count.bpf.o')));
    const link = object.program('on_malloc').attachUprobe(process, 'calls:work_keyed');
    target.call(20_000);
    assert.equal(countOf(object, 'total'), 320_000n);
    assert.equal(countOf(object, 'sizes'), 320_000n);
    assert.equal(object.map('sizes').entries().length, 64);
    assert.equal(link.hits, 320_000n);
    assert.equal(target.wrong, 0n);
  });

  it('runs several programs on one function, and goes on with the rest when one is detached', () => {
    using target = new CallsTarget(2);
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    using object = openObject(fixture('count'));
    const program = object.program('on_call');
    const [first, second] = [program.attachUprobe(process, 'calls:work'), program.attachUprobe(process, 'calls:work')];
    target.call(1000);
    assert.deepEqual([first!.hits, second!.hits, countOf(object, 'counts')], [2000n, 2000n, 4000n]);
    first!.detach();
    target.call(1000);
    assert.deepEqual([first!.hits, second!.hits, countOf(object, 'counts')], [2000n, 4000n, 6000n]);
    second!.detach();
    target.call(1000);
    assert.deepEqual([second!.hits, countOf(object, 'counts')], [4000n, 6000n]);
    object[Symbol.dispose]();
    assert.deepEqual(codeHashes(target.pid), before);
    assert.equal(target.wrong, 0n);
  });

  it('attaches all programs of an object or none', () => {
    using target = new CallsTarget(1);
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    using object = openObject(fixture('hash'));
    const places = new Map([
      ['on_call', 'uprobe:calls:work'],
      ['on_forget', 'uprobe:calls:no_such_function'],
    ]);
    assert.throws(() => object.attachAll(process, places), { code: 'PROCESS_SYMBOL_NOT_FOUND' });
    object[Symbol.dispose]();
    assert.deepEqual(codeHashes(target.pid), before);
    target.call(10);
    assert.equal(target.wrong, 0n);
  });

  it('leaves nothing behind, in whichever order object and process are closed', () => {
    using target = new CallsTarget(2);
    const before = codeHashes(target.pid);
    for (const order of ['object first', 'process first']) {
      const process = openProcess(target.pid);
      const object = openObject(fixture('count'));
      const link = object.program('on_call').attachUprobe(process, 'calls:work');
      target.call(100);
      for (const closing of order === 'object first' ? [object, process] : [process, object]) closing[Symbol.dispose]();
      assert.equal(link.hits, 200n, order);
      assert.equal(countOf(object, 'counts'), 200n, order);
      assert.deepEqual(codeHashes(target.pid), before, order);
    }
  });

  it('lets go of a target that has ended', () => {
    using target = new CallsTarget(1);
    using process = openProcess(target.pid);
    using object = openObject(fixture('count'));
    const link = object.program('on_call').attachUprobe(process, 'calls:work');
    target.call(500);
    target.target.stop();
    link.detach();
    object[Symbol.dispose]();
    assert.equal(link.hits, 500n);
    assert.equal(countOf(object, 'counts'), 500n);
  });

  it('says what is wrong with a place', () => {
    using target = new CallsTarget(1);
    using process = openProcess(target.pid);
    using object = openObject(fixture('count'));
    const attach = (place: string) => () => object.program('on_call').attachUprobe(process, place);
    assert.throws(attach('calls:wrok'), { code: 'PROCESS_SYMBOL_NOT_FOUND', fix: /work/ });
    assert.throws(attach('libnothing.so:work'), { code: 'PROCESS_MODULE_NOT_FOUND' });
    assert.throws(attach('calls:'), { code: 'ATTACH_BAD_TARGET' });
    assert.throws(attach('calls:work+1'), { code: 'ATTACH_SITE_BOUNDARY' });
    assert.throws(() => object.program('on_call').attach(process), { code: 'RUNTIME_NO_SECTION_TARGET' });
  });
});
