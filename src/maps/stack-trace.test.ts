import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { BpfError } from '../errors.ts';
import { Builder } from '../ir/builder.ts';
import type { IrFunction } from '../ir/value.ts';
import { Errno, type HostMap, type MapEmitContext, type MapMemory, type MapSpec } from './map-type.ts';
import { stackTrace } from './stack-trace.ts';
import { TraceFlag } from './stack-trace-code.ts';
import { SPARES } from './stack-trace-layout.ts';

const MAP = 0x7f00_0000_0000n;
const SCRATCH = 0x1000n;
const DEPTH = 4;
const traces = stackTrace.traces!;

/** A map of traces, and a program that keeps some there. */
class Traces {
  readonly spec: MapSpec;
  readonly memory: MapMemory;
  readonly host: HostMap;
  readonly #shared = new Map<string, IrFunction>();

  constructor(maxEntries: number) {
    this.spec = mapSpec(stackTrace, { keySize: 4, valueSize: 8 * DEPTH, maxEntries });
    this.memory = freshMap(stackTrace, this.spec);
    this.host = stackTrace.host(this.memory, this.spec);
  }

  /** The number of the trace, or a negative errno. @param before called before each value that is evaluated */
  keep(trace: readonly bigint[], flags = 0, before?: () => void): number {
    const place: MapEmitContext = {
      address: MAP,
      slot: (b) => b.const(0),
      shared: (name, count, body) => {
        const fn = this.#shared.get(name) ?? Builder.function(name, count, body);
        this.#shared.set(name, fn);
        return fn;
      },
    };
    const program = Builder.function('keep', 2, (b, [from, flags]) => {
      const element = traces.emitTake(b, this.spec, place);
      b.when(b.compare('eq', element, 0), () => b.return(-Errno.ENOMEM));
      b.copy(element, traces.room, from!, 0, 8 * trace.length);
      b.return(traces.emitKeep(b, this.spec, place, element, b.const(trace.length), flags!));
    });
    const memory = regions(
      { address: MAP, bytes: this.memory.bytes },
      { address: SCRATCH, bytes: new Uint8Array(BigUint64Array.from(trace).buffer) },
    );
    const world = { args: [SCRATCH, BigInt(flags)], memory, ...(before && { before }) };
    return Number(BigInt.asIntN(64, evaluate(program, world)));
  }

  get(id: number): bigint[] | undefined {
    const value = this.host.lookup(key(id));
    return value && [...new BigUint64Array(Uint8Array.from(value).buffer)];
  }
}

function key(id: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(id).buffer);
}

/** A trace that has the number of `trace` in a map with `count` of them, and is another. */
function colliding(traces: Traces, id: number): readonly bigint[] {
  for (let address = 1n; ; address++) {
    const other = [address, 77n];
    const probe = new Traces(traces.spec.maxEntries);
    if (probe.keep(other) === id && traces.get(id)![0] !== address) return other;
  }
}

describe('stack_trace map', () => {
  it('gives a trace one number, with its addresses and zeros behind them', () => {
    const map = new Traces(64);
    const id = map.keep([1n, 2n, 3n]);
    assert.ok(id >= 0 && id < 64);
    assert.equal(map.keep([1n, 2n, 3n]), id);
    assert.deepEqual(map.get(id), [1n, 2n, 3n, 0n]);
    assert.deepEqual(
      [...map.host.entries()].map(([found]) => found),
      [key(id)],
    );
    assert.notEqual(map.keep([1n, 2n, 4n]), id);
  });

  it('has a power of two of numbers', () => {
    const map = new Traces(3);
    assert.equal(map.host.delete(key(3)), -Errno.ENOENT);
    assert.equal(map.host.delete(key(4)), -Errno.E2BIG);
  });

  it('keeps the first of two traces with one number, or the last if it may', () => {
    const map = new Traces(4);
    const id = map.keep([1n, 2n, 3n]);
    const other = colliding(map, id);
    assert.equal(map.keep(other), -Errno.EEXIST);
    assert.deepEqual(map.get(id), [1n, 2n, 3n, 0n]);
    assert.equal(map.keep(other, TraceFlag.REUSE_ID), id);
    assert.deepEqual(map.get(id), [...other, 0n, 0n]);
  });

  it('compares hashes alone where that will do', () => {
    const map = new Traces(4);
    const id = map.keep([1n, 2n, 3n]);
    const word = map.memory.words.indexOf(3n);
    map.memory.words[word] = 4n;
    assert.equal(map.keep([1n, 2n, 3n], TraceFlag.FAST_COMPARE), id);
    assert.equal(map.keep([1n, 2n, 3n]), -Errno.EEXIST);
  });

  it('is not written by the host, which may delete', () => {
    const map = new Traces(4);
    const id = map.keep([1n]);
    assert.equal(map.host.update(key(id), new Uint8Array(8 * DEPTH), 0n), -Errno.EINVAL);
    assert.equal(map.host.delete(key(id)), 0);
    assert.equal(map.host.delete(key(id)), -Errno.ENOENT);
    assert.equal(map.get(id), undefined);
  });

  it('loses no room in ten thousand traces', () => {
    const map = new Traces(4);
    const flags = [0, TraceFlag.REUSE_ID, TraceFlag.FAST_COMPARE];
    for (let n = 0; n < 10_000; n++) {
      const result = map.keep([BigInt(n % 37), 5n], flags[n % 3]);
      assert.ok(result >= 0 || result === -Errno.EEXIST);
    }
    assert.ok([...map.host.entries()].length <= 4);
  });

  it('holds whole traces at every step of a thread that is killed there, and gets its room back', () => {
    const map = new Traces(2);
    map.keep([1n, 2n, 3n]);
    class Killed extends Error {}
    let end = 0;
    for (; ; end++) {
      let steps = 0;
      const step = () => {
        if (steps++ === end) throw new Killed();
      };
      try {
        map.keep([BigInt(end), BigInt(end), 9n], TraceFlag.REUSE_ID, step);
        break;
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      for (const [id] of map.host.entries()) {
        const [first, second, third] = map.get(new Uint32Array(id.slice().buffer)[0]!)!;
        assert.ok(third === 9n ? first === second : first === 1n && second === 2n && third === 3n);
      }
      stackTrace.recover(map.memory, map.spec);
    }
    assert.ok(end > 20);
    let taken = 0;
    while (map.keep([BigInt(taken), 1n, 1n], TraceFlag.REUSE_ID) >= 0 && taken < 2 * SPARES) taken++;
    assert.equal(taken, 2 * SPARES);
  });

  it('stands whatever a target writes there', () => {
    const map = new Traces(4);
    for (let n = 0; n < 4; n++) map.keep([BigInt(n), 1n]);
    let state = 1;
    for (let n = 0; n < 20_000; n++) {
      state = (state * 1_103_515_245 + 12_345) >>> 0;
      map.memory.bytes[state % map.memory.bytes.length] = state >>> 24;
      if (n % 50 !== 0) continue;
      assert.ok([...map.host.entries()].length <= 4);
      for (let id = 0; id < 5; id++) map.host.delete(key(id));
      stackTrace.recover(map.memory, map.spec);
    }
  });

  for (const [what, numbers, code] of [
    ['a key that is no u32', { keySize: 8 }, 'MAP_BAD_SPEC'],
    ['value size 0', { valueSize: 0 }, 'MAP_BAD_SPEC'],
    ['half an address', { valueSize: 12 }, 'MAP_BAD_SPEC'],
    ['more addresses than the kernel keeps', { valueSize: 128 * 8 }, 'MAP_BAD_SPEC'],
    ['build ids in place of addresses', { flags: 0x20 }, 'MAP_BAD_SPEC'],
    ['no entries', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['2^31 entries', { maxEntries: 2 ** 31 }, 'MAP_TOO_LARGE'],
  ] as const) {
    it(`refuses ${what}`, () => {
      const spec = mapSpec(stackTrace, { keySize: 4, valueSize: 64, maxEntries: 4, ...numbers });
      assert.throws(
        () => stackTrace.check(spec),
        (error: BpfError) => error instanceof BpfError && error.code === code,
      );
    });
  }
});
