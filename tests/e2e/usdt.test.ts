/** Static probes on a live process: arguments from registers, memory and constants, semaphores, flags and red zone kept. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';
import { readVariable, writeVariable } from '../support/variables.ts';

const OBJECTS = ['clang-14', 'clang-19'].map((version) => join(ROOT, 'tests/objects', version, 'usdt.bpf.o'));
/** Each animal is fed once, and those with odd food pass a second place. */
const FEEDS = 1000;
const HITS = FEEDS * 1.5;

const start = () => startTarget(compileTarget('usdt'));

const sumsOf = (object: BpfObject): bigint[] =>
  object
    .map('sums')
    .entries()
    .map(({ value }) => BigInt.asIntN(64, BigInt(value as number | string)));

describe('a static probe', () => {
  for (const path of OBJECTS) {
    it(`gives its arguments to ${path.slice(ROOT.length + 1)}`, () => {
      using running = start();
      const before = codeHashes(running.pid);
      using target = openProcess(running.pid);
      using object = openObject(path);
      const semaphore = () => readVariable(target, 'usdt', 'zoo_fed_semaphore', 2);
      const feed = () => {
        const go = readVariable(target, 'usdt', 'go') + 1n;
        writeVariable(target, 'usdt', 'go', go);
        waitUntil('all were fed', () => readVariable(target, 'usdt', 'done') === go);
        return BigInt.asIntN(64, readVariable(target, 'usdt', 'sum'));
      };
      assert.equal(semaphore(), 0n);
      const sum = feed();
      const link = object.program('on_fed').attach(target, { cookie: 11n });
      assert.equal(link.target, 'usdt:zoo:fed');
      assert.equal(semaphore(), 2n, 'one for each of the two places');
      assert.equal(feed(), sum);
      assert.equal(link.hits, BigInt(HITS));
      // 0 + 1 + ... + 999, and once more for the odd ones
      const food = (FEEDS * (FEEDS - 1)) / 2 + 250_000;
      assert.deepEqual(sumsOf(object), [HITS, -food, food, -3 * HITS, 7 * HITS, 4 * HITS, 11 * HITS, 0].map(BigInt));
      link.detach();
      assert.equal(semaphore(), 0n);
      assert.equal(feed(), sum);
      assert.equal(link.hits, BigInt(HITS));
      object[Symbol.dispose]();
      assert.deepEqual(codeHashes(running.pid), before);
    });
  }

  it('can be passed by a program that asks for no arguments', () => {
    using running = start();
    using target = openProcess(running.pid);
    using object = openObject(join(ROOT, 'examples/count-calls.bpf.o'));
    const { links } = object.attachAll(target, new Map([['on_call', 'usdt:usdt:zoo:idle']]));
    writeVariable(target, 'usdt', 'go', 1n);
    waitUntil('all were fed', () => readVariable(target, 'usdt', 'done') === 1n);
    assert.equal(links[0]!.hits, BigInt(FEEDS));
  });

  it('that does not exist is refused with those that do', () => {
    using running = start();
    using target = openProcess(running.pid);
    using object = openObject(OBJECTS[0]!);
    const attach = (place: string) => () => object.attachAll(target, new Map([['on_fed', place]]));
    assert.throws(attach('usdt:usdt:zoo:starved'), { code: 'ATTACH_NO_USDT', fix: 'it has zoo:fed, zoo:idle' });
    assert.throws(attach('usdt:usdt:zoo'), { code: 'ATTACH_BAD_TARGET' });
  });
});
