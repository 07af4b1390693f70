import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { MapError } from './errors.ts';
import type { MapMemory, MapSpec } from './map-type.ts';
import { perfEventArray, ringbuf } from './ringbuf.ts';
import { type RingPlace, ringFinish, ringReserve } from './ringbuf-code.ts';
import { RingConsumer } from './ringbuf-host.ts';
import { RingHeader, recordAdvance, ringLayout } from './ringbuf-layout.ts';

const MAP = 0x7f00_0000_0000n;
const THREAD = 77;
const spec = mapSpec(ringbuf, { keySize: 0, valueSize: 0, maxEntries: 4096 });
const { size } = ringLayout(spec);

/** A program's view of a ring: the emitted code, run by the evaluator on the same bytes. */
class Program {
  readonly #memory: MapMemory;
  readonly #before: (() => void) | undefined;
  readonly #functions = new Map<string, IrFunction>();

  constructor(memory: MapMemory, before?: () => void) {
    this.#memory = memory;
    this.#before = before;
  }

  reserve(length: number): bigint {
    return this.#run(ringReserve(spec, this.#place), [BigInt(length)]);
  }

  finish(record: bigint, how: 'submit' | 'discard'): void {
    this.#run(ringFinish(how, this.#place), [record, 0n]);
  }

  /** Reserves, fills with `mark`, and finishes. @returns false if there was no room */
  send(length: number, mark: number, how: 'submit' | 'discard' = 'submit'): boolean {
    const record = this.reserve(length);
    if (record === 0n) return false;
    this.#memory.bytes.fill(mark, Number(record - MAP), Number(record - MAP) + length);
    this.finish(record, how);
    return true;
  }

  get #place(): RingPlace {
    return {
      address: MAP,
      shared: (name, count, body) => {
        const made = this.#functions.get(name) ?? Builder.function(name, count, body);
        this.#functions.set(name, made);
        return made;
      },
      thread: (b: Builder): Value => b.const(THREAD),
      wakes: false,
    };
  }

  #run(fn: IrFunction, args: readonly bigint[]): bigint {
    const memory = regions({ address: MAP, bytes: this.#memory.bytes });
    return evaluate(fn, { args, memory, ...(this.#before && { before: this.#before }) });
  }
}

interface Seen {
  readonly length: number;
  readonly mark: number | undefined;
}

function read(ring: RingConsumer, limit?: number): Seen[] {
  const seen: Seen[] = [];
  ring.consume((bytes, at, length) => {
    const record = bytes.slice(at, at + length);
    assert.ok(
      record.every((byte) => byte === record[0]),
      'a record is whole',
    );
    seen.push({ length, mark: record[0] });
  }, limit);
  return seen;
}

describe('ringbuf map: a spec', () => {
  for (const [why, numbers] of [
    ['a key', { keySize: 4, valueSize: 0 }],
    ['a value of no type', { keySize: 0, valueSize: 8 }],
    ['no entries', { keySize: 0, valueSize: 0, maxEntries: 0 }],
    ['flags it does not know', { keySize: 0, valueSize: 0, flags: 1 }],
  ] as const) {
    it(`is refused for ${why}`, () => {
      assert.throws(
        () => ringbuf.check(mapSpec(ringbuf, { maxEntries: 4096, ...numbers })),
        (error) => error instanceof MapError && error.code === 'MAP_BAD_SPEC',
      );
    });
  }
  it('may be as small or odd as libbpf takes it: then the ring is larger', () => {
    for (const [maxEntries, wanted] of [
      [1, 4096],
      [4096, 4096],
      [5000, 8192],
      [262_144, 262_144],
    ] as const) {
      assert.equal(ringLayout({ ...spec, maxEntries }).size, wanted);
    }
  });
  it('of a perf event array has keys, and may have no entries, nor say its sizes', () => {
    perfEventArray.check(mapSpec(perfEventArray, { keySize: 4, valueSize: 4, maxEntries: 0 }));
    perfEventArray.check(mapSpec(perfEventArray, { keySize: 0, valueSize: 0, maxEntries: 0 }));
    for (const numbers of [
      { keySize: 8, valueSize: 4 },
      { keySize: 4, valueSize: 8 },
    ]) {
      assert.throws(() => perfEventArray.check(mapSpec(perfEventArray, { maxEntries: 1, ...numbers })), MapError);
    }
  });
});

type Step =
  | { readonly do: 'send' | 'discard' | 'begin'; readonly length: number }
  | { readonly do: 'end'; readonly which: number }
  | { readonly do: 'read'; readonly limit: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constantFrom('send', 'discard', 'begin'),
    length: fc.oneof(fc.nat(40), fc.nat(5000)),
  }) as fc.Arbitrary<Step>,
  fc.record({ do: fc.constant('end'), which: fc.nat(5) }) as fc.Arbitrary<Step>,
  fc.record({ do: fc.constant('read'), limit: fc.nat(9) }) as fc.Arbitrary<Step>,
);

/** A record of the model. */
interface Modelled {
  readonly length: number;
  readonly mark: number;
  state: 'begun' | 'submitted' | 'discarded';
}

describe('ringbuf map', () => {
  it('does what a list would do: order, room, discarded and unfinished records', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = freshMap(ringbuf, spec);
        const program = new Program(memory);
        const ring = new RingConsumer(memory, spec);
        const held: Modelled[] = [];
        const open: { readonly record: bigint; readonly modelled: Modelled }[] = [];
        let dropped = 0n;
        let mark = 0;
        const used = (): number => held.reduce((sum, { length }) => sum + recordAdvance(length), 0);
        const readModel = (limit: number): Seen[] => {
          const seen: Seen[] = [];
          while (seen.length < limit && held.length > 0 && held[0]!.state !== 'begun') {
            const { state, length, mark: value } = held.shift()!;
            if (state === 'submitted') seen.push({ length, mark: length === 0 ? undefined : value });
          }
          return seen;
        };
        for (const one of steps) {
          if (one.do === 'read') assert.deepEqual(read(ring, one.limit), readModel(one.limit));
          else if (one.do === 'end') {
            const [ended] = open.splice(one.which % Math.max(open.length, 1), 1);
            if (ended === undefined) continue;
            program.finish(ended.record, 'submit');
            ended.modelled.state = 'submitted';
          } else {
            mark = (mark + 1) % 256;
            const fits = used() + recordAdvance(one.length) <= size - 1;
            const record = program.reserve(one.length);
            assert.equal(record !== 0n, fits, `room for ${one.length}`);
            if (!fits) {
              dropped++;
              continue;
            }
            memory.bytes.fill(mark, Number(record - MAP), Number(record - MAP) + one.length);
            const modelled: Modelled = { length: one.length, mark, state: 'begun' };
            held.push(modelled);
            if (one.do === 'begin') open.push({ record, modelled });
            else {
              program.finish(record, one.do === 'send' ? 'submit' : 'discard');
              modelled.state = one.do === 'send' ? 'submitted' : 'discarded';
            }
          }
        }
        assert.deepEqual(read(ring), readModel(Number.POSITIVE_INFINITY));
        assert.equal(ring.lost, dropped);
        assert.equal(ring.heldUpBy, held[0] === undefined ? undefined : THREAD);
      }),
      { numRuns: 200 },
    );
  });

  it('holds as many records as the kernel has room for, lap after lap', () => {
    const memory = freshMap(ringbuf, spec);
    const program = new Program(memory);
    const ring = new RingConsumer(memory, spec);
    for (const length of [16, 24, 100, 4080, 1]) {
      const room = Math.floor((size - 1) / recordAdvance(length));
      for (let lap = 0; lap < 3; lap++) {
        for (let n = 0; n < room; n++) assert.ok(program.send(length, n));
        const { lost } = ring;
        assert.ok(!program.send(length, 0));
        assert.equal(ring.lost, lost + 1n);
        assert.equal(read(ring).length, room);
      }
    }
    assert.ok(!program.send(size - 15, 0), 'longer than the ring');
  });

  it('takes the lone producer of the host for a program', () => {
    const memory = freshMap(ringbuf, spec);
    const program = new Program(memory);
    const ring = new RingConsumer(memory, spec);
    for (let n = 0; n < 500; n++) {
      const record = ring.producer.reserve(8, MAP)!;
      memory.bytes.fill(n, record, record + 8);
      ring.producer.finish(record, n % 3 === 0 ? 'discard' : 'submit');
      program.send(20, n);
      const own = n % 3 === 0 ? [] : [{ length: 8, mark: n % 256 }];
      assert.deepEqual(read(ring), [...own, { length: 20, mark: n % 256 }]);
    }
    assert.equal(ring.producer.query('available'), 0n);
    assert.equal(ring.producer.query('size'), BigInt(size));
    assert.equal(ring.producer.query('producer'), ring.producer.query('consumer'));
    assert.equal(ring.producer.query('producer'), 500n * (16n + 32n));
  });

  for (const [when, first] of [
    ['in the first lap', 0],
    ['at the end of a lap', 4064],
  ] as const) {
    const prepared = (): [MapMemory, RingConsumer] => {
      const memory = freshMap(ringbuf, spec);
      const ring = new RingConsumer(memory, spec);
      if (first > 0) {
        new Program(memory).send(first - 8, 1);
        read(ring);
      }
      return [memory, ring];
    };

    it(`loses nothing when a handler sends at any instruction of a sender, ${when}`, () => {
      for (let instruction = 0, more = true; more; instruction++) {
        const [memory, ring] = prepared();
        let count = 0;
        const handler = new Program(memory);
        const interrupted = new Program(memory, () => {
          if (count++ !== instruction) return;
          assert.ok(handler.send(16, 2));
          assert.ok(handler.send(40, 3, 'discard'));
          assert.ok(handler.send(12, 4));
        });
        assert.ok(interrupted.send(24, 9));
        more = count > instruction;
        const sent = more ? [2, 4, 9] : [9];
        const marks = read(ring).map(({ mark }) => mark!);
        assert.deepEqual([...marks].sort(), sent, `instruction ${instruction}`);
        if (more) assert.ok(marks.indexOf(2) < marks.indexOf(4), 'in order');
        assert.equal(ring.lost, 0n);
      }
    });

    it(`goes on when a sender is killed at any instruction, ${when}`, () => {
      for (let instruction = 0, more = true; more; instruction++) {
        const [memory, ring] = prepared();
        let count = 0;
        const killed = new Program(memory, () => {
          if (count++ === instruction) throw new Killed();
        });
        try {
          killed.send(24, 9);
          more = false;
        } catch (error) {
          if (!(error instanceof Killed)) throw error;
        }
        const others = new Program(memory);
        for (let n = 0; n < 5; n++) assert.ok(others.send(16, n), 'nobody waits for the dead');
        const marks = read(ring).map(({ mark }) => mark);
        if (ring.heldUpBy !== undefined) {
          assert.equal(marks.length, 0);
          assert.equal(ring.heldUpBy, THREAD);
          ring.abandon();
          assert.equal(ring.lost, 1n);
          marks.push(...read(ring).map(({ mark }) => mark));
        }
        assert.deepEqual(
          marks.filter((mark) => mark !== 9),
          [0, 1, 2, 3, 4],
          `instruction ${instruction}`,
        );
        if (instruction % 8 !== 0) continue;
        // What comes later has the whole ring.
        const room = Math.floor((size - 1) / 24);
        for (let n = 0; n < room; n++) assert.ok(others.send(16, n));
        assert.equal(read(ring).length, room);
      }
    });
  }

  for (const [what, waiting, flags, wakes, calls] of [
    ['wakes a consumer that sleeps', 1, 0n, true, 1],
    ['wakes nobody where nobody sleeps', 0, 0n, true, 0],
    ['wakes nobody with BPF_RB_NO_WAKEUP', 1, 1n, true, 0],
    ['wakes who sleeps with BPF_RB_FORCE_WAKEUP', 1, 2n, true, 1],
    ['makes no system call where none is allowed', 1, 2n, false, 0],
  ] as const) {
    it(`${what}`, () => {
      const memory = freshMap(ringbuf, spec);
      const record = new Program(memory).reserve(8);
      const made: (readonly bigint[])[] = [];
      memory.halves[RingHeader.waiting / 4] = waiting;
      const finish = ringFinish('submit', { shared: Builder.function, wakes });
      evaluate(finish, {
        args: [record, flags],
        memory: regions({ address: MAP, bytes: memory.bytes }),
        syscall: (number, args) => {
          made.push([BigInt(number), ...args]);
          return 1n;
        },
      });
      const futexWake = [202n, MAP + BigInt(RingHeader.waiting), 1n, 0x7fff_ffffn];
      assert.deepEqual(made, calls === 1 ? [futexWake] : []);
      assert.equal(memory.halves[RingHeader.waiting / 4], calls === 1 ? 0 : waiting);
      assert.equal(read(new RingConsumer(memory, spec)).length, 1);
    });
  }

  it('tells the next consumer where it stopped', () => {
    const memory = freshMap(ringbuf, spec);
    const program = new Program(memory);
    const ring = new RingConsumer(memory, spec);
    for (let n = 0; n < 10; n++) program.send(16, n);
    read(ring, 4);
    assert.deepEqual(
      read(new RingConsumer(memory, spec)).map(({ mark }) => mark),
      [4, 5, 6, 7, 8, 9],
    );
  });

  it('is read within bounds, whatever the target writes into it', () => {
    const words = fc.oneof(
      fc.nat(8192).map(BigInt),
      fc.nat(8192).map((low) => BigInt(low) * 8n + 1n),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    );
    const places = fc.oneof(
      fc.constantFrom(...Object.values(RingHeader).filter((at) => at % 8 === 0)),
      fc.nat(40).map((n) => ringLayout(spec).heads + 8 * n),
      fc.nat(ringLayout(spec).end / 8 - 1).map((n) => 8 * n),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(places, words), { maxLength: 30 }),
        fc.nat(20),
        (marks: readonly (readonly [number, bigint])[], sent) => {
          const memory = freshMap(ringbuf, spec);
          const ring = new RingConsumer(memory, spec);
          const program = new Program(memory);
          for (let n = 0; n < sent; n++) program.send(16, n);
          for (const [at, word] of marks) memory.words[at / 8] = word;
          consumeBounded(ring, memory, spec);
          consumeBounded(new RingConsumer(memory, spec), memory, spec);
        },
      ),
      { numRuns: 500 },
    );
  });
});

class Killed extends Error {}

/** Reads, and gives up what is unfinished: never more than a lap, never outside the data. */
function consumeBounded(ring: RingConsumer, memory: MapMemory, { maxEntries }: MapSpec): void {
  const { data, heads } = ringLayout(spec);
  for (let round = 0; round < 4; round++) {
    const count = ring.consume((bytes, at, length) => {
      assert.equal(bytes, memory.bytes);
      assert.ok(at >= data && at + length <= heads);
    });
    assert.ok(count <= maxEntries / 16);
    ring.abandon();
    assert.equal(typeof ring.lost, 'bigint');
  }
}
