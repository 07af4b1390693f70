/**
 * What every map type must hold to, driven through its host side and its emitted side on the same memory: the same
 * results as a model in plain JavaScript, whoever does which operation, and nothing the target writes upsets the host.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MapError, type MapErrorCode } from '../../src/maps/errors.ts';
import { Errno, type MapSpec, type MapType, UpdateFlag } from '../../src/maps/map-type.ts';
import { emittedEntries, emittedMap } from './emitted-map.ts';
import {
  apply,
  freshMap,
  hostMap,
  listing,
  littleEndian,
  type ModelMap,
  mapSpec,
  type Operation,
  type ProgramMap,
  type Shape,
  type SidedOperation,
} from './map-operations.ts';

/** What the contract needs to know of a map type. */
export interface MapTypeContract {
  readonly type: MapType;
  /** The same semantics in the simplest way. */
  model(spec: MapSpec): ModelMap;
  /** Sizes worth trying. */
  readonly shapes: readonly Shape[];
  /** The size of the map that stories are told on. */
  readonly story: Shape;
  /**
   * What happens, with the kernel's results: `set 1=7`, `set 1=7 NOEXIST: EEXIST`, `get 1: 7`,
   * `get 1: nothing`, `delete 1: ENOENT`. Of a map without keys, `delete 0: 7` takes 7 out. Numbers stand for themselves in little-endian.
   */
  readonly stories: readonly (readonly [title: string, steps: string])[];
  /** Specs that are refused. */
  readonly refusals: readonly (readonly [why: string, spec: Partial<MapSpec>, code: MapErrorCode])[];
}

/** Registers the suite for one map type. */
export function describeMapType(contract: MapTypeContract): void {
  const { type } = contract;
  describe(`${type.name} map: the contract`, () => {
    describe('a spec', () => {
      for (const [why, numbers, code] of contract.refusals) {
        it(`is refused with ${code} for ${why}`, () => {
          assert.throws(
            () => type.check(mapSpec(type, numbers)),
            (error) => error instanceof MapError && error.code === code,
          );
        });
      }
      it('that is accepted takes a multiple of 64 bytes', () => {
        for (const shape of contract.shapes) assert.equal(type.size(mapSpec(type, shape)) % 64, 0);
      });
    });

    const spec = mapSpec(type, contract.story);
    for (const side of ['host', 'emitted'] as const) {
      describe(`results of the ${side} side`, () => {
        for (const [title, steps] of contract.stories) {
          it(title, () => {
            const memory = freshMap(type, spec);
            tell(spec, side === 'host' ? hostMap(type, memory, spec) : emittedMap(type, spec, memory), steps);
          });
        }
      });
    }

    it('does what the model does, whichever side does it', () => {
      fc.assert(
        fc.property(
          fc.constantFrom(...contract.shapes),
          fc.array(operation, { maxLength: 40 }),
          (shape, operations) => {
            compare(contract, mapSpec(type, shape), operations);
          },
        ),
        { numRuns: 150 },
      );
    });

    it('lets the host read, write and list whatever the target wrote into the memory', () => {
      fc.assert(
        fc.property(fc.constantFrom(...contract.shapes), scribbles, fc.array(operation, { maxLength: 10 }), scribbleOn),
        { numRuns: 300 },
      );
      function scribbleOn(
        shape: Shape,
        marks: readonly (readonly [number, bigint])[],
        operations: readonly Operation[],
      ): void {
        const hostile = mapSpec(type, shape);
        const memory = freshMap(type, hostile);
        const host = hostMap(type, memory, hostile);
        for (const [at, word] of marks) memory.words[at % memory.words.length] = word;
        for (const one of operations) apply(host, hostile, one);
        assert.ok([...host.entries()].length <= hostile.maxEntries);
        type.recover(memory, hostile);
        assert.ok([...host.entries()].length <= hostile.maxEntries);
      }
    });
  });
}

const operation: fc.Arbitrary<SidedOperation> = fc.record({
  side: fc.constantFrom('host', 'emitted'),
  name: fc.constantFrom('lookup', 'update', 'update', 'delete'),
  key: fc.nat(9),
  value: fc.nat(255),
  flags: fc.constantFrom(0n, 0n, 0n, 1n, 2n, 3n, 4n, 1n << 32n, (1n << 64n) - 1n),
});

/** Words the target may leave in a map: small links, marked ones, anything. */
const scribbles = fc.array(
  fc.tuple(
    fc.nat(4096),
    fc.oneof(
      fc.nat(8192).map((low) => BigInt(low)),
      fc.nat(200).map((unit) => BigInt(unit * 16 + (unit % 3))),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    ),
  ),
  { maxLength: 60 },
);

function compare(contract: MapTypeContract, spec: MapSpec, operations: readonly SidedOperation[]): void {
  const { type } = contract;
  const memory = freshMap(type, spec);
  const sides = { host: hostMap(type, memory, spec), emitted: emittedMap(type, spec, memory) };
  const model = contract.model(spec);
  for (const one of operations) {
    assert.deepEqual(apply(sides[one.side], spec, one), apply(model, spec, one), `${one.side} ${one.name}`);
  }
  assert.deepEqual(listing(sides.host), listing(model));
  const entries = emittedEntries(type, spec, memory);
  if (entries !== undefined) assert.deepEqual(listing({ entries: () => entries }), listing(model), 'by for_each');
  type.recover(memory, spec);
  assert.deepEqual(listing(sides.host), listing(model), 'after recovery');
}

const STEP = /^(?<verb>get|set|delete) (?<key>\d+)(=(?<value>\d+))?( (?<flags>[A-Z]+|\d+))?(: (?<result>\w+))?$/;

function tell(spec: MapSpec, map: ProgramMap, story: string): void {
  for (const step of story.split(', ')) {
    const { verb, key = '', value = '0', flags = 'ANY', result } = STEP.exec(step)?.groups ?? {};
    const keyOf = littleEndian(Number(key), spec.keySize);
    if (verb === 'get') {
      const found = result === 'nothing' ? undefined : littleEndian(Number(result), spec.valueSize);
      assert.deepEqual(map.lookup(keyOf), found, step);
    } else {
      const expected =
        result === undefined ? 0 : result in Errno ? -Errno[result as keyof typeof Errno] : Number(result);
      const bits = BigInt(UpdateFlag[flags as keyof typeof UpdateFlag] ?? flags);
      const written = littleEndian(Number(value), spec.valueSize);
      assert.equal(verb === 'set' ? map.update(keyOf, written, bits) : map.delete(keyOf), expected, step);
    }
  }
}
