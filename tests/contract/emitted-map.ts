/** A map's emitted side behind the host's interface: its IR, run by the evaluator on the same bytes. */
import assert from 'node:assert/strict';
import { viewOf } from '../../src/bytes/struct.ts';
import { Builder } from '../../src/ir/builder.ts';
import type { IrFunction, Value } from '../../src/ir/value.ts';
import type { MapEmitContext, MapMemory, MapSpec, MapType } from '../../src/maps/map-type.ts';
import { evaluate, regions } from '../support/ir-evaluator.ts';
import { keylessAsMap, type ProgramMap } from './map-operations.ts';

const MAP = 0x7f00_0000_0000n;
const SCRATCH = 0x1000n;

/** What was emitted for a spec, since tests try many maps of one. */
const FUNCTIONS = new WeakMap<MapSpec, MapFunctions>();

/** The functions a program would call, as IR. Of a map without keys: (key, value) peeks, (key, value, flags) pushes, (key, value) pops. */
export interface MapFunctions {
  /** (key) -> address of the value or 0 */
  readonly lookup: IrFunction;
  /** (key, value, flags) -> 0 or a negative errno */
  readonly update: IrFunction;
  /** (key) -> 0 or a negative errno */
  readonly delete: IrFunction;
}

/** Emits the operations of the map that lies at `address`, each a program of its own. */
export function mapFunctions(type: MapType, spec: MapSpec, address: bigint, slot = 0): MapFunctions {
  const { keyless } = type;
  if (keyless !== undefined) {
    return {
      lookup: program(2, (b, context, [, value]) => keyless.emitPeek(b, spec, context, value!)),
      update: program(3, (b, context, [, value, flags]) => keyless.emitPush(b, spec, context, value!, flags!)),
      delete: program(2, (b, context, [, value]) => keyless.emitPop(b, spec, context, value!)),
    };
  }
  return {
    lookup: program(1, (b, context, [key]) => type.emitLookup(b, spec, context, key!)),
    update: program(3, (b, context, [key, value, flags]) => type.emitUpdate(b, spec, context, key!, value!, flags!)),
    delete: program(1, (b, context, [key]) => type.emitDelete(b, spec, context, key!)),
  };

  function program(
    paramCount: number,
    emit: (b: Builder, context: MapEmitContext, params: Value[]) => Value,
  ): IrFunction {
    return emitMapProgram(address, slot, paramCount, emit);
  }
}

/** One program on the map that lies at `address`. */
export function emitMapProgram(
  address: bigint,
  slot: number,
  paramCount: number,
  emit: (b: Builder, context: MapEmitContext, params: Value[]) => Value,
): IrFunction {
  const made = new Map<string, IrFunction>();
  const context: MapEmitContext = {
    address,
    shared(name, count, body) {
      const fn = made.get(name) ?? Builder.function(name, count, body);
      made.set(name, fn);
      return fn;
    },
    slot: (b) => b.const(slot),
  };
  return Builder.function('program', paramCount, (b, params) => b.return(emit(b, context, params)));
}

/** What a program sees that goes through the map in `memory`; undefined if none can. */
export function emittedEntries(
  type: MapType,
  spec: MapSpec,
  memory: MapMemory,
): readonly (readonly [key: Uint8Array, value: Uint8Array])[] | undefined {
  const { each } = type;
  if (each === undefined) return undefined;
  const { keySize, valueSize, maxEntries } = spec;
  const stride = 8 + keySize;
  const seen = new Uint8Array((maxEntries + 1) * stride);
  const fn = emitMapProgram(MAP, 0, 0, (b, context) =>
    each.emitEach(b, spec, context, (key, value) => {
      const count = b.load(8, b.const(SCRATCH));
      const place = b.add(b.mul(count, stride), SCRATCH + 8n);
      b.store(8, place, 0, value);
      b.copy(place, 8, key, 0, keySize);
      b.store(8, b.const(SCRATCH), 0, b.add(count, 1));
      return b.const(0);
    }),
  );
  const world = regions({ address: MAP, bytes: memory.bytes }, { address: SCRATCH, bytes: seen });
  const count = Number(evaluate(fn, { args: [], memory: world }));
  return Array.from({ length: count }, (_, index) => {
    const at = 8 + index * stride;
    const value = Number(viewOf(seen).getBigUint64(at, true) - MAP);
    return [seen.slice(at + 8, at + stride), memory.bytes.slice(value, value + valueSize)];
  });
}

/**
 * The map in `memory`, used as a program uses it.
 *
 * @param before called before each IR value that is evaluated
 * @param slot that the program has
 */
export function emittedMap(type: MapType, spec: MapSpec, memory: MapMemory, before?: () => void, slot = 0): ProgramMap {
  const known = slot === 0 ? FUNCTIONS.get(spec) : undefined;
  const functions = known ?? mapFunctions(type, spec, MAP, slot);
  if (slot === 0) FUNCTIONS.set(spec, functions);
  const { keySize, valueSize } = spec;
  // Nothing is mapped behind key and value: emitted code that reads past them fails.
  const run = (fn: IrFunction, key: Uint8Array, value: Uint8Array, flags: bigint): bigint => {
    const world = regions(
      { address: MAP, bytes: memory.bytes },
      { address: SCRATCH, bytes: key },
      { address: 2n * SCRATCH, bytes: value },
    );
    const args = [SCRATCH, 2n * SCRATCH, flags].slice(0, fn.paramCount);
    return BigInt.asIntN(64, evaluate(fn, { args, memory: world, ...(before && { before }) }));
  };
  const none = new Uint8Array(0);
  if (type.keyless !== undefined) {
    const out = (fn: IrFunction) => {
      const value = new Uint8Array(valueSize).fill(0xee);
      const result = run(fn, none, value, 0n);
      if (result !== 0n)
        assert.ok(
          value.every((byte) => byte === 0),
          'zeros where there is no value',
        );
      return result === 0n ? value : undefined;
    };
    return keylessAsMap({
      lookup: () => out(functions.lookup),
      update: (_, value, flags) => Number(run(functions.update, none, value, flags)),
      pop: () => out(functions.delete),
    });
  }
  return {
    lookup(key) {
      const address = run(functions.lookup, key.slice(0, keySize), none, 0n);
      const at = Number(address - MAP);
      return address === 0n ? undefined : memory.bytes.slice(at, at + valueSize);
    },
    update: (key, value, flags) => Number(run(functions.update, key, value, flags)),
    delete: (key) => Number(run(functions.delete, key, none, 0n)),
  };
}
