/**
 * What every map type must hold to among many threads of several processes, all interrupted by a timer whose handler uses
 * the map too: counts are exact, no key is lost or doubled, no value is torn, and a process killed at any instruction
 * leaves a map that works.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { viewOf } from '../../src/bytes/struct.ts';
import { Errno, type HostMap, type MapSpec, type MapType, UpdateFlag } from '../../src/maps/map-type.ts';
import { type Blows, Hammer, type HammerMode, type HammerReport } from './map-hammer.ts';
import { mapSpec, type Shape } from './map-operations.ts';

/** What maps with keys are for. */
type KeyedMode = Exclude<HammerMode, 'pass' | 'passKilled'>;

/** One run: what the threads do, on what map. */
export type Blow = readonly [mode: KeyedMode, keys: number, shape: Shape];

const BLOWS: Omit<Blows, 'keys'> = { processes: 2, threads: 4, milliseconds: 250 };
/** A killed thread may take an element with it, so fewer threads are killed: the map must still have room for `own`. */
const KILLED: Omit<Blows, 'keys'> = { ...BLOWS, processes: 1, threads: 2 };

/** Registers the suite for one map type. */
export function describeConcurrency(type: MapType, blows: readonly Blow[]): void {
  describe(`${type.name} map: many threads`, () => {
    let hammer: Hammer;
    before(() => {
      hammer = new Hammer();
    });
    after(() => hammer[Symbol.dispose]());

    for (const [mode, keys, shape] of blows) {
      const { keySize, valueSize, maxEntries } = shape;
      it(`${TITLES[mode]}: key ${keySize}, value ${valueSize}, ${keys} keys, ${maxEntries} entries`, async () => {
        const spec = mapSpec(type, shape);
        using map = hammer.map(type, spec);
        const host = type.host(map.memory, spec);
        const running = map.hammer(mode, { ...(mode === 'kill' ? KILLED : BLOWS), keys });
        const mine = mode === 'tickets' ? takePart(host, spec, keys, BLOWS.milliseconds) : undefined;
        const report = await running;
        if (mode === 'tickets') fill(host, spec);
        CHECKS[mode](host, spec, report, mine);
        if (mode !== 'kill') return;
        for (const [key] of host.entries()) assert.equal(host.delete(key), 0);
        CHECKS.own(host, spec, await map.hammer('own', { ...BLOWS, keys }));
        type.recover(map.memory, spec);
        fill(host, spec);
      });
    }
  });
}

const TITLES: Readonly<Record<KeyedMode, string>> = {
  count: 'add up exactly',
  tickets: 'insert and delete each key as often as they say, the host among them',
  own: 'find in their own keys what they wrote',
  kill: 'may be killed at any instruction',
};

type Check = (host: HostMap, spec: MapSpec, report: HammerReport, mine?: readonly number[]) => void;

const CHECKS: Readonly<Record<KeyedMode, Check>> = {
  count(host, _spec, report) {
    const sum = [...host.entries()].reduce((total, [, value]) => total + viewOf(value).getBigUint64(0, true), 0n);
    assert.equal(sum, report.added![0]);
    assert.ok(sum > 10_000n, 'they got to work');
  },

  tickets(host, spec, report, mine) {
    const held = new Set(consistentKeys(host, spec, report.left!.length));
    report.left!.forEach((left, key) => {
      assert.equal(Number(left) + (mine?.[key] ?? 0), held.has(key) ? 1 : 0, `key ${key}`);
    });
  },

  own(host, spec, report) {
    report.holds!.forEach((number, key) => {
      const value = host.lookup(keyBytes(spec, key));
      assert.equal(value && words(value)[0], number === 0n ? undefined : number, `key ${key}`);
    });
  },

  kill(host, spec, report) {
    consistentKeys(host, spec, report.left!.length);
  },
};

/** The host does as the threads do. Returns its insertions less its deletions of each key. */
function takePart(host: HostMap, spec: MapSpec, keys: number, milliseconds: number): readonly number[] {
  const mine = Array.from({ length: keys }, () => 0);
  const end = performance.now() + milliseconds;
  for (let round = 0; performance.now() < end; round++) {
    const number = (round * 7919) % keys;
    const key = keyBytes(spec, number);
    const value = valueBytes(spec, (round % 1000) * keys + number);
    const { NOEXIST, EXIST } = UpdateFlag;
    const found = host.lookup(key);
    if (found !== undefined) assert.equal(Number(words(found)[0]! % BigInt(keys)), number, 'a value of another key');
    if (host.update(key, value, BigInt(NOEXIST)) === 0) mine[number]!++;
    host.update(key, value, BigInt(EXIST));
    if (round % 3 === 0 && host.delete(key) === 0) mine[number]!--;
  }
  return mine;
}

/** The numbers of the keys in the map: each once, its value whole and its own. */
function consistentKeys(host: HostMap, spec: MapSpec, keys: number): number[] {
  const found = [...host.entries()].map(([key, value]) => {
    const number = viewOf(key).getUint32(0, true);
    assert.deepEqual(key, keyBytes(spec, number));
    for (const word of words(value)) assert.equal(word, words(value)[0], 'a torn value');
    assert.equal(Number(words(value)[0]! % BigInt(keys)), number % keys, 'a value of another key');
    return number;
  });
  assert.equal(new Set(found).size, found.length, 'a key is there twice');
  return found;
}

/** Adds new keys until the map says that it is full, which must be when it holds maxEntries. Nothing is looked at before. */
function fill(host: HostMap, spec: MapSpec): void {
  let result = 0;
  for (let number = 1_000_000; result === 0; number++) {
    result = host.update(keyBytes(spec, number), valueBytes(spec, number), 0n);
  }
  assert.equal(result, -Errno.E2BIG);
  assert.equal([...host.entries()].length, spec.maxEntries);
}

/** As fill_key in map-hammer.c. */
function keyBytes({ keySize }: MapSpec, number: number): Uint8Array {
  const key = new Uint8Array(keySize);
  viewOf(key).setUint32(0, number, true);
  if (keySize >= 8) viewOf(key).setUint32(keySize - 4, number, true);
  return key;
}

function valueBytes({ valueSize }: MapSpec, number: number): Uint8Array {
  return new Uint8Array(BigUint64Array.from({ length: valueSize / 8 }, () => BigInt(number)).buffer);
}

function words(value: Uint8Array): BigUint64Array {
  return new BigUint64Array(value.buffer, value.byteOffset, value.length / 8);
}
