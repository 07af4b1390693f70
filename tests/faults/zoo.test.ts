/**
 * Faults A7 to A9 and A16: probes at every instruction of functions of every kind, called with random
 * registers, flags, vector registers and red zone. What comes out must be what comes out without a probe, to the last bit;
 * what cannot be probed is refused by name. At a function entry flags are not compared: no caller keeps any in them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  AttachError,
  type BpfObject,
  disassembleX64,
  openObject,
  openProcess,
  type TargetProcess,
} from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { ROOT } from '../support/root.ts';
import { ANIMALS, ARITHMETIC_FLAGS, ZooTarget } from '../support/zoo-target.ts';

/** Some 200 places, so a million inputs in all. */
const COUNT = 5000;
const ALL = { count: COUNT, seed: 1n, flags: ARITHMETIC_FLAGS };
const FLAGLESS = { ...ALL, flags: 0n };
const FEW = { ...FLAGLESS, count: 200 };

/** Calls out of line, changes every register it may and most flags. */
const OBJECT = join(ROOT, 'examples/malloc-count.bpf.o');

/** What the first instructions of an animal are an example of; all others are of the zoo at large. */
const FAULTS: Readonly<Record<string, RegExp>> = {
  'A7: a branch, a loop or a table leads behind its first instruction': /loop|branch|table|computed|jrcxz|skip_lock/,
  'A8: it is shorter than a jump': /bytes?$|padded/,
  'A9: its first instructions are of a special kind': /./,
};

/** The name of the test of one animal. */
function titleOf(symbol: string): string {
  const [fault] = Object.entries(FAULTS).find(([, animals]) => animals.test(symbol))!;
  return `${fault}: ${symbol}`;
}

/** Entries that are refused, and why; of other instructions most are probed. */
const REFUSED: Readonly<Record<string, string>> = { 'zoo:zoo_loop_to_second': 'ATTACH_SITE_BRANCH' };

describe('probes at every instruction of the zoo', () => {
  let zoo: ZooTarget;
  let target: TargetProcess;
  let object: BpfObject;
  let code: Record<string, string>;
  const refused: Record<string, string> = {};
  let places = 0;

  before(() => {
    zoo = new ZooTarget();
    code = codeHashes(zoo.pid);
    target = openProcess(zoo.pid);
    object = openObject(OBJECT);
  });

  after(() => {
    object[Symbol.dispose]();
    target[Symbol.dispose]();
    zoo[Symbol.dispose]();
  });

  const instructionsOf = (symbol: string): number[] => {
    const { address, size } = target.resolveFunction(target.findModule('zoo'), symbol);
    const lines = disassembleX64(target.memory.read(address, size), address);
    return lines
      .filter(({ text }) => text !== '(bad)' && text !== 'int3')
      .map((line) => Number(line.address - address));
  };

  const attach = (symbol: string, offset: number) => {
    const place = `zoo:${symbol}${offset === 0 ? '' : `+${offset}`}`;
    try {
      return object.program('on_malloc').attachUprobe(target, place);
    } catch (error) {
      assert.ok(error instanceof AttachError && error.code.startsWith('ATTACH_SITE_'), `${place}: ${error}`);
      refused[place] = error.code;
      return undefined;
    }
  };

  for (const symbol of ANIMALS) {
    it(titleOf(symbol), () => {
      const [all, flagless] = [zoo.run(symbol, ALL), zoo.run(symbol, FLAGLESS)];
      for (const offset of instructionsOf(symbol)) {
        const link = attach(symbol, offset);
        places++;
        if (link === undefined) continue;
        const found = zoo.run(symbol, offset === 0 ? FLAGLESS : ALL);
        link.detach();
        assert.equal(found, offset === 0 ? flagless : all, `${symbol}+${offset} does something else (${link.method})`);
        if (offset === 0) assert.ok(link.hits >= BigInt(COUNT), `${symbol} was hit ${link.hits} times`);
      }
      assert.equal(zoo.run(symbol, ALL), all, 'after detach');
    });
  }

  for (const [order, arrange] of [
    ['ascending', (offsets: number[]) => offsets],
    ['descending', (offsets: number[]) => offsets.toReversed()],
    ['inside out', (offsets: number[]) => offsets.toSorted((a, b) => (a % 4) - (b % 4))],
  ] as const) {
    it(`A16: takes all places of one function at a time, in ${order} order`, () => {
      for (const symbol of ANIMALS) {
        const flagless = zoo.run(symbol, FEW);
        const links = arrange(instructionsOf(symbol)).map((offset) => attach(symbol, offset));
        assert.equal(zoo.run(symbol, FEW), flagless, symbol);
        for (const link of links) {
          link?.detach();
          assert.equal(zoo.run(symbol, FEW), flagless, `${symbol} without ${link?.target}`);
        }
      }
    });
  }

  it('leaves the code as it was', () => {
    object[Symbol.dispose]();
    assert.deepEqual(codeHashes(zoo.pid), code);
  });

  it('refuses few of them, by name', () => {
    const entries = Object.entries(refused).filter(([place]) => !place.includes('+'));
    assert.deepEqual(Object.fromEntries(entries), REFUSED);
    assert.ok(!Object.values(refused).includes('ATTACH_SITE_BOUNDARY'));
    assert.ok(Object.keys(refused).length < places / 4, `${JSON.stringify(refused, null, 1)} of ${places}`);
  });
});
