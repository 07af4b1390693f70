/** Samples that the host sends and programs drain: in live processes and in the interpreter, with the kernel's numbers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HELPERS } from '../../src/helpers/table.ts';
import { type BpfObject, openObject, openProcess, type UserSample } from '../../src/index.ts';
import { readObject } from '../../src/object/read-object.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { InterpreterWorld } from '../../src/vm/world.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { COMPILERS, type Compiler, objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

const [EBUSY, EINVAL] = [-16n, -22n];
const SIZE = 4096;

/** What the host of a ring does, and what programs leave. */
interface Ring {
  /** Sends a sample of that size: the next number, its double and zeros, as much as fits. */
  send(size: number, how?: 'submit' | 'discard'): boolean;
  /** Begins one of 16 bytes. @returns what submits it */
  begin(): () => void;
  /** What the program is to give to drain, and after how many samples it is to stop. */
  ask(flags: bigint, limit: bigint): void;
  /** Runs the program once. @returns what drain gave it */
  drain(): bigint;
  /** How many samples were seen, how many of these had less than 16 bytes, and the sum of their numbers. */
  readonly seen: readonly [samples: bigint, shorter: bigint, sum: bigint];
  /** Samples out of order, samples that were not whole. */
  readonly wrong: readonly [disorder: bigint, torn: bigint];
  readonly inside: bigint;
}

/** Words of struct state in user-ring.bpf.c. */
const STATE = [
  'flags',
  'limit',
  'seen',
  'shorter',
  'sum',
  'last',
  'disorder',
  'torn',
  'inside',
  'drained',
  'busy',
  'failed',
];
const at = (bytes: Uint8Array, word: string): bigint => Buffer.from(bytes).readBigInt64LE(8 * STATE.indexOf(word));
const changed = (bytes: Uint8Array, words: Readonly<Record<string, bigint>>): Uint8Array => {
  const copy = Buffer.from(bytes);
  for (const [word, value] of Object.entries(words)) copy.writeBigUInt64LE(value, 8 * STATE.indexOf(word));
  return copy;
};

function sampleOf(number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(new BigUint64Array([BigInt(number), BigInt(2 * number)]).buffer);
  const sample = new Uint8Array(size);
  sample.set(bytes.subarray(0, size));
  return sample;
}

/** What the samples of a story are sent by. */
interface Sender {
  reserve(size: number): { finish(bytes: Uint8Array | undefined): void } | undefined;
}

function ringOf(
  { reserve }: Sender,
  state: { get(): Uint8Array; set(bytes: Uint8Array): void },
  drain: () => bigint,
): Ring {
  let number = 0;
  return {
    send(size, how = 'submit') {
      const begun = reserve(size);
      number++;
      begun?.finish(how === 'submit' ? sampleOf(number, size) : undefined);
      return begun !== undefined;
    },
    begin() {
      const mine = ++number;
      const begun = reserve(16)!;
      return () => begun.finish(sampleOf(mine, 16));
    },
    ask: (flags, limit) => state.set(changed(state.get(), { flags, limit })),
    drain,
    get seen() {
      const bytes = state.get();
      return [at(bytes, 'seen'), at(bytes, 'shorter'), at(bytes, 'sum')] as const;
    },
    get wrong() {
      const bytes = state.get();
      return [at(bytes, 'disorder'), at(bytes, 'torn')] as const;
    },
    get inside() {
      return at(state.get(), 'inside');
    },
  };
}

function finisherOf(sample: UserSample | undefined): { finish(bytes: Uint8Array | undefined): void } | undefined {
  return (
    sample && {
      finish(bytes) {
        if (bytes === undefined) return sample.discard();
        sample.bytes.set(bytes);
        sample.submit();
      },
    }
  );
}

function natively(compiler: Compiler, program: string, story: (ring: Ring) => void): void {
  using target = new CallsTarget(1);
  using process = openProcess(target.pid);
  using object = openObject(objectFile('user-ring', compiler));
  const link = object.program(program).attachUprobe(process, 'calls:work');
  const samples = object.map('samples').userRingBuffer();
  const states = object.map('states');
  let calls = 0;
  const drain = (): bigint => {
    target.call(1);
    assert.equal(link.hits, BigInt(++calls));
    return Buffer.from(object.map('results').lookup(calls - 1)!).readBigInt64LE();
  };
  const state = { get: () => states.lookup(0)!, set: (bytes: Uint8Array) => assert.equal(states.update(0, bytes), 0) };
  story(ringOf({ reserve: (size) => finisherOf(samples.reserve(size)) }, state, drain));
  assert.equal(target.wrong, 0n);
}

function interpreted(compiler: Compiler, program: string, story: (ring: Ring) => void): void {
  const { programs, maps } = readObject(objectFile('user-ring', compiler));
  const world = new InterpreterWorld(maps);
  const samples = world.map('samples').samples!;
  const zero = new Uint8Array(4);
  const states = {
    get: () => world.map('states').lookup(zero)!,
    set: (bytes: Uint8Array) => assert.equal(world.map('states').update(zero, bytes, 0n), 0),
  };
  const reserve: Sender['reserve'] = (size) => {
    const begun = samples.reserve(size);
    return begun && { finish: (bytes) => samples.finish(begun, bytes) };
  };
  const running = programs.find(({ name }) => name === program)!;
  let calls = 0;
  const drain = (): bigint => {
    new Interpreter(running, { world, helpers: HELPERS }).run(new Uint8Array(168));
    const key = new Uint8Array(Uint32Array.of(calls++).buffer);
    return Buffer.from(world.map('results').lookup(key)!).readBigInt64LE();
  };
  story(ringOf({ reserve }, states, drain));
}

/** Each number in it is what Linux 6.18 gave the same object and the same steps of libbpf's user_ring_buffer. */
function story(ring: Ring): void {
  assert.equal(ring.drain(), 0n, 'nothing there');
  for (const [flags, result] of [
    [4n, EINVAL],
    [1n << 32n, EINVAL],
    [3n, 0n],
    [0n, 0n],
  ] as const) {
    ring.ask(flags, 0n);
    assert.equal(ring.drain(), result, `flags ${flags}`);
  }
  for (const size of [16, 16, 24]) ring.send(size);
  assert.equal(ring.drain(), 3n);
  assert.deepEqual(ring.seen, [3n, 0n, 6n]);
  for (const how of ['submit', 'discard', 'submit', 'discard', 'discard'] as const) ring.send(16, how);
  assert.equal(ring.drain(), 2n, 'those that were discarded do not count');
  assert.deepEqual(ring.seen, [5n, 0n, 16n]);
  for (let n = 0; n < 2; n++) ring.send(16, 'discard');
  assert.equal(ring.drain(), 0n);
  for (const size of [0, 1, 15]) ring.send(size);
  assert.equal(ring.drain(), 3n);
  assert.deepEqual(ring.seen, [8n, 3n, 41n]);
  ring.ask(0n, 11n);
  for (let n = 0; n < 10; n++) ring.send(16);
  assert.equal(ring.drain(), 3n, 'until it returns 1');
  ring.ask(0n, 0n);
  assert.equal(ring.drain(), 7n);
  assert.deepEqual(ring.seen, [18n, 3n, 226n]);
  const submit = ring.begin();
  ring.send(16);
  assert.equal(ring.drain(), 0n, 'one that is not finished holds up those behind it');
  submit();
  assert.equal(ring.drain(), 2n);
  assert.deepEqual(ring.seen, [20n, 3n, 275n]);
  ring.send(SIZE - 8);
  assert.equal(ring.send(0), false, 'there is no room');
  assert.equal(ring.drain(), 1n);
  assert.equal(ring.send(0), true);
  assert.equal(ring.drain(), 1n);
  assert.deepEqual(ring.wrong, [0n, 0n]);
}

/** The same, of a program that drains while it drains. */
function storyInside(ring: Ring): void {
  for (const size of [16, 16, 24]) ring.send(size);
  assert.equal(ring.drain(), 3n);
  assert.equal(ring.inside, EBUSY);
  assert.deepEqual(ring.seen, [3n, 0n, 255n], 'what it wrote into them is what it reads');
  assert.deepEqual(ring.wrong, [2n, 3n]);
}

for (const compiler of COMPILERS) {
  describe(`a user ring buffer, ${compiler}`, () => {
    it('is drained as the kernel does: natively', { skip: CANNOT_TRACE }, () => {
      natively(compiler, 'on_call', story);
    });
    it('is drained as the kernel does: in the interpreter', () => {
      interpreted(compiler, 'on_call', story);
    });
    it('has one drainer at a time, itself too', { skip: CANNOT_TRACE }, () => {
      natively(compiler, 'on_nested', storyInside);
    });
  });
}

function states(object: BpfObject): Record<string, bigint> {
  const bytes = object.map('states').lookup(0)!;
  return Object.fromEntries(STATE.map((word) => [word, at(bytes, word)]));
}

describe('a user ring buffer among many', { skip: CANNOT_TRACE }, () => {
  it('gives each sample once, whole and in order, to threads of several processes', async () => {
    const COUNT = repetitions(5000, 10_000_000);
    using first = new CallsTarget(2);
    using second = new CallsTarget(2);
    using one = openProcess(first.pid);
    using two = openProcess(second.pid);
    using object = openObject(objectFile('user-ring'));
    const links = [one, two].map((process) => object.program('on_visit').attachUprobe(process, 'calls:work'));
    const ring = object.map('samples').userRingBuffer();
    for (const target of [first, second]) target.start();
    let discarded = 0;
    for (let number = 1; number <= COUNT; number++) {
      const size = 16 + (number % 9) * 8;
      const sample = await ring.reserveBlocking(size);
      sample!.bytes.set(sampleOf(number, size));
      if (number % 7 === 0) {
        discarded++;
        sample!.discard();
      } else sample!.submit();
    }
    // The whole ring is free once all have been seen.
    (await ring.reserveBlocking(SIZE - 8))!.discard();
    for (const target of [first, second]) target.stop();
    for (const link of links) link.detach();
    const { seen, sum, drained, disorder, torn, failed } = states(object);
    const numbers = Array.from({ length: COUNT }, (_, index) => index + 1).filter((number) => number % 7 !== 0);
    assert.deepEqual(
      [seen, drained, sum],
      [
        BigInt(COUNT - discarded),
        BigInt(COUNT - discarded),
        numbers.reduce((total, number) => total + BigInt(number), 0n),
      ],
    );
    assert.deepEqual([disorder, torn, failed], [0n, 0n, 0n]);
    assert.deepEqual([first.wrong, second.wrong], [0n, 0n]);
  });

  it('is drained by threads and their signal handlers', () => {
    using target = new Crowd(8, 400);
    const before = footprint(target.process);
    const object = openObject(objectFile('user-ring'));
    const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
    const ring = object.map('samples').userRingBuffer();
    let sent = 0;
    while (ring.send(sampleOf(sent + 1, 16))) sent++;
    assert.equal(sent, SIZE / 24 - (SIZE % 24) / 24);
    const visits = target.run();
    link.detach();
    const { seen, drained, sum, disorder, torn, failed } = states(object);
    assert.deepEqual([link.hits, link.missed], [visits, 0n]);
    assert.deepEqual([seen, drained, sum], [BigInt(sent), BigInt(sent), BigInt((sent * (sent + 1)) / 2)]);
    assert.deepEqual([disorder, torn, failed], [0n, 0n, 0n]);
    object[Symbol.dispose]();
    assert.deepEqual(footprint(target.process), before);
  });

  it('is drained on after who drained it was killed', async () => {
    using first = new CallsTarget(1);
    using second = new CallsTarget(1);
    using one = openProcess(first.pid);
    using two = openProcess(second.pid);
    using object = openObject(objectFile('user-ring'));
    object.program('on_end').attachUprobe(one, 'calls:work');
    object.program('on_visit').attachUprobe(two, 'calls:work');
    const ring = object.map('samples').userRingBuffer();
    assert.ok(ring.send(sampleOf(1, 16)));
    first.start();
    waitUntil('it has a sample', () => states(object).inside === 1n);
    second.call(1);
    assert.deepEqual([states(object).busy, states(object).drained], [1n, 0n]);
    first.target.stop();
    second.start();
    (await ring.reserveBlocking(SIZE - 8))!.discard();
    second.stop();
    const { drained, sum, failed } = states(object);
    assert.deepEqual([drained, sum, failed], [1n, 1n, 0n]);
  });
});

describe('a user ring buffer that is not used as meant', () => {
  it('takes no sample that will never have room', () => {
    using object = openObject(objectFile('user-ring'));
    const ring = object.map('samples').userRingBuffer();
    for (const size of [SIZE - 7, -1, 1.5, 2 ** 31]) assert.throws(() => ring.reserve(size), RangeError);
    assert.ok(ring.reserve(SIZE - 8));
    assert.equal(ring.reserve(0), undefined);
  });

  it('takes each sample once', () => {
    using object = openObject(objectFile('user-ring'));
    const ring = object.map('samples').userRingBuffer();
    const sample = ring.reserve(8)!;
    sample.submit();
    sample.discard();
    assert.throws(
      () => object.map('states').userRingBuffer(),
      /cannot send to map states: it is a array, wanted a user_ringbuf/,
    );
  });

  it('waits for room until it is told to give up', async () => {
    using object = openObject(objectFile('user-ring'));
    const ring = object.map('samples').userRingBuffer();
    const sample = await ring.reserveBlocking(SIZE - 8);
    assert.ok(sample);
    assert.equal(await ring.reserveBlocking(0, { signal: AbortSignal.timeout(20) }), undefined);
  });
});
