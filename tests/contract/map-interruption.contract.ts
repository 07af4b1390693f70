/**
 * What every map type must hold to when a thread is stopped inside an operation, tried at every instruction of it: others
 * work on the map meanwhile, and the thread then goes on or is never seen again. Whatever comes back and whatever is left
 * is as if the operation had been done at once, at some point.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Errno, type HostMap, type MapMemory, type MapSpec, type MapType } from '../../src/maps/map-type.ts';
import { emittedMap } from './emitted-map.ts';
import {
  apply,
  freshMap,
  keyBytes,
  listing,
  type ModelMap,
  mapSpec,
  type Operation,
  type ProgramMap,
  type Shape,
  valueBytes,
} from './map-operations.ts';

/** What happens: some operations, then one that is stopped, others meanwhile. Three keys, so elements are soon reused. */
interface Situation {
  readonly shape: Shape;
  readonly before: readonly Operation[];
  readonly stopped: Operation;
  readonly others: readonly Operation[];
}

/** What comes of it, as text to be compared. */
type Outcome = string;

const operation: fc.Arbitrary<Operation> = fc.record({
  name: fc.constantFrom('lookup', 'update', 'update', 'delete'),
  key: fc.nat(2),
  value: fc.nat(255),
  flags: fc.constantFrom(0n, 0n, 1n, 2n),
});

/** Registers the suite for one map type. The shapes have room for three keys and two elements in nobody's list. */
export function describeInterruption(
  type: MapType,
  model: (spec: MapSpec) => ModelMap,
  shapes: readonly Shape[],
): void {
  const situation: fc.Arbitrary<Situation> = fc.record({
    shape: fc.constantFrom(...shapes),
    before: fc.array(operation, { maxLength: 4 }),
    stopped: operation,
    others: fc.array(operation, { minLength: 1, maxLength: 4 }),
  });

  describe(`${type.name} map: stopped at every instruction`, () => {
    for (const side of ['host', 'emitted'] as const) {
      it(`does an operation at one point, whatever the ${side} side did meanwhile`, () => {
        fc.assert(
          fc.property(situation, (one) => goOn(one, side)),
          { numRuns: 40 },
        );
      });
      it(`works on after a thread was killed, by the ${side} side`, () => {
        fc.assert(
          fc.property(situation, (one) => killed(one, side)),
          { numRuns: 40 },
        );
      });
    }
  });

  /** Stops the operation at each of its instructions in turn, does the others, and lets it go on. */
  function goOn({ shape, before, stopped, others }: Situation, side: 'host' | 'emitted'): void {
    const spec = mapSpec(type, shape);
    const allowed = others.concat(stopped).map((_, done) => {
      const map = model(spec);
      doAll(map, spec, before);
      const early = doAll(map, spec, others.slice(0, done));
      const result = presence(apply(map, spec, stopped));
      return outcome(result, [...early, ...doAll(map, spec, others.slice(done))], map);
    });
    everyInstruction(spec, before, (host, memory, instruction) => {
      const other = side === 'host' ? host : emittedMap(type, spec, memory);
      let results: unknown[] = [];
      let count = 0;
      const map = emittedMap(type, spec, memory, () => {
        if (count++ === instruction) results = doAll(other, spec, others);
      });
      const result = presence(apply(map, spec, stopped));
      if (count <= instruction) return false;
      fillAndEmpty(spec, host);
      assertAllowed(outcome(result, results, host), allowed, instruction);
      return true;
    });
  }

  /** Kills the thread at each instruction in turn, and does the others. */
  function killed({ shape, before, stopped, others }: Situation, side: 'host' | 'emitted'): void {
    const spec = mapSpec(type, shape);
    const allowed = [[], [stopped]].map((done) => {
      const map = model(spec);
      doAll(map, spec, [...before, ...done]);
      return outcome(undefined, doAll(map, spec, others), map);
    });
    everyInstruction(spec, before, (host, memory, instruction) => {
      let count = 0;
      const map = emittedMap(type, spec, memory, () => {
        if (count++ === instruction) throw new Killed();
      });
      try {
        apply(map, spec, stopped);
        return false;
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      const other = side === 'host' ? host : emittedMap(type, spec, memory);
      assertAllowed(outcome(undefined, doAll(other, spec, others), host), allowed, instruction);
      type.recover(memory, spec);
      fillAndEmpty(spec, host);
      return true;
    });
  }

  /** Repeats `attempt` on maps made alike, for instruction 0, 1, 2, ... until it says that the operation has no such. */
  function everyInstruction(
    spec: MapSpec,
    before: readonly Operation[],
    attempt: (host: HostMap, memory: MapMemory, instruction: number) => boolean,
  ): void {
    for (let instruction = 0, more = true; more; instruction++) {
      const memory = freshMap(type, spec);
      const host = type.host(memory, spec);
      doAll(host, spec, before);
      more = attempt(host, memory, instruction);
    }
  }
}

class Killed extends Error {}

function doAll(map: ProgramMap, spec: MapSpec, operations: readonly Operation[]): unknown[] {
  return operations.map((one) => apply(map, spec, one));
}

/** A lookup of a stopped thread gives a pointer; what it points at when the thread goes on is nobody's promise. */
function presence(result: string | number | undefined): unknown {
  return typeof result === 'string' ? 'found' : result;
}

function outcome(result: unknown, others: readonly unknown[], map: ModelMap): Outcome {
  return `${result} | ${others.join(' ')} | ${listing(map).join(', ')}`;
}

function assertAllowed(actual: Outcome, allowed: readonly Outcome[], instruction: number): void {
  if (allowed.includes(actual)) return;
  assert.fail(`stopped at instruction ${instruction}: ${actual}\nallowed is:\n${[...new Set(allowed)].join('\n')}`);
}

/** Checks that the map takes exactly as many entries as it should. */
function fillAndEmpty(spec: MapSpec, host: HostMap): void {
  const keys = Array.from({ length: spec.maxEntries + 1 }, (_, index) => keyBytes(spec, 100 + index));
  const added = keys.filter((key) => {
    const result = host.update(key, valueBytes(spec, 0), 0n);
    assert.ok(result === 0 || result === -Errno.E2BIG);
    return result === 0;
  });
  assert.equal(listing(host).length, spec.maxEntries, 'the map is full when it holds maxEntries');
  for (const key of added) assert.equal(host.delete(key), 0);
}
