/** A change of many sites that fails: what is remembered of them is what is there, so that the next one finds its way. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UprobeSites } from '../../src/attach/uprobe/sites.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { InjectError } from '../../src/inject/errors.ts';
import { Injection } from '../../src/inject/injection.ts';
import { codeHashes } from '../support/code-hash.ts';
import { countingProgram } from '../support/counting-program.ts';
import { CANNOT_TRACE, EnteredTarget } from '../support/entered.ts';
import { waitUntil } from '../support/targets.ts';

/** Threads that call `add`: push, mov, lea, pop, ret. A jump in the place of its first instruction overlaps one behind that. */
class Called implements Disposable {
  readonly entered = new EnteredTarget('sites', ['call', '2']);
  /** Of all its code, before anything was laid into it. */
  readonly hashes = codeHashes(this.entered.pid);
  readonly injection = new Injection(this.entered.process);
  readonly #cells: bigint;
  readonly #sites: UprobeSites;

  constructor() {
    this.#cells = this.injection.share(4096).address;
    this.#sites = new UprobeSites(this.injection);
  }

  /** Counts in the cell `index` what comes to a place; the result takes that off. */
  probe(symbol: string, offset: number, index: number): () => void {
    const { process, module } = this.entered;
    const located = this.#sites.locate({ target: process.resolveFunction(module, symbol), offset });
    return this.#sites.add(located, { program: countingProgram(this.#cells + BigInt(8 * index)) });
  }

  count(index: number): bigint {
    return viewOf(this.injection.shared).getBigUint64(8 * index, true);
  }

  /** The code of a function, as it is now. */
  code(symbol: string): Buffer {
    return Buffer.from(this.entered.process.memory.read(this.entered.address(symbol), 16));
  }

  /** Threads call on, rightly, and probes count of which that is wanted. */
  check(counting: readonly number[]): void {
    const [calls, counts] = [this.entered.counter('calls'), counting.map((index) => this.count(index))];
    waitUntil('it calls', () => this.entered.counter('calls') > calls + 100n);
    waitUntil('each counts', () => counting.every((index, n) => this.count(index) > counts[n]!));
    assert.ok(this.entered.target.isRunning());
    assert.equal(this.entered.counter('wrong'), 0n);
  }

  [Symbol.dispose](): void {
    this.entered[Symbol.dispose]();
  }
}

const BEHIND_PUSH = 1;

describe('a batch that fails', { skip: CANNOT_TRACE }, () => {
  for (const [why, spoil] of [
    [
      'when it is applied',
      (called: Called) => called.entered.process.memory.write(called.entered.address('blocked'), Uint8Array.of(0x90)),
    ],
    [
      'before that',
      () => {
        throw new InjectError('INJECT_CODE_TOO_LARGE', 'as if');
      },
    ],
  ] as const) {
    it(`${why}: two sites that it made one are two again`, () => {
      using called = new Called();
      const { injection, entered } = called;
      const first = called.probe('add', BEHIND_PUSH, 0);
      called.check([0]);
      const [add, blocked] = [called.code('add'), called.code('blocked')];
      const failed: (() => void)[] = [];
      assert.throws(
        () =>
          injection.batch(() => {
            failed.push(called.probe('add', 0, 1), called.probe('blocked', 0, 2));
            spoil(called);
          }),
        InjectError,
      );
      // Whoever made them takes them off, as after any failure.
      for (const remove of failed) remove();
      assert.deepEqual(called.code('add'), add);
      entered.process.memory.write(entered.address('blocked'), blocked);
      called.check([0]);

      const removals = injection.batch(() => [called.probe('add', 0, 1), called.probe('blocked', 0, 2)]);
      called.check([0, 1]);
      first();
      called.check([1]);
      for (const remove of removals) remove();
      called.check([]);
      assert.equal(injection.release(), true);
      assert.deepEqual(codeHashes(entered.pid), called.hashes);
      called.check([]);
    });

    it(`${why}: what it was to take off is still there, and can be taken off`, () => {
      using called = new Called();
      const { injection, entered } = called;
      const removals = injection.batch(() => [
        called.probe('add', BEHIND_PUSH, 0),
        called.probe('add', 0, 1),
        called.probe('blocked', 0, 2),
      ]);
      called.check([0, 1]);
      const blocked = called.code('blocked');
      assert.throws(
        () =>
          injection.batch(() => {
            for (const remove of removals) remove();
            spoil(called);
          }),
        InjectError,
      );
      entered.process.memory.write(entered.address('blocked'), blocked);
      called.check([0, 1]);
      injection.batch(() => {
        for (const remove of removals) remove();
      });
      called.check([]);
      assert.equal(injection.release(), true);
      assert.deepEqual(codeHashes(entered.pid), called.hashes);
    });
  }

  it('can be made again as often as it fails', () => {
    using called = new Called();
    const { injection } = called;
    const code = called.code('add');
    const fail = () =>
      injection.batch(() => {
        called.probe('add', 0, 0);
        throw new InjectError('INJECT_CODE_TOO_LARGE', 'as if');
      });
    for (let n = 0; n < 3; n++) assert.throws(fail, InjectError);
    assert.deepEqual(called.code('add'), code);
    called.probe('add', 0, 0);
    called.check([0]);
    assert.equal(injection.release(), true);
    assert.deepEqual(called.code('add'), code);
  });
});
