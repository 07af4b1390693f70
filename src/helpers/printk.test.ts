import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { callEmitted, DATA, FACTS, interpreterWorld, targetMemory } from '../../tests/contract/helper.contract.ts';
import { mapMemory } from '../maps/memory.ts';
import { tracePrintk } from './printk.ts';
import { formatPrintk } from './printk-format.ts';
import { PRINTK_RING_SIZE, PrintkReader, RingHeader, SLOT_SIZE, SLOTS } from './printk-ring.ts';

describe('formatPrintk', () => {
  const readString = (address: bigint) => (address === 16n ? 'text' : undefined);
  for (const [format, args, text] of [
    ['plain', [], 'plain'],
    ['100%%', [], '100%'],
    ['%d', [-1n], '-1'],
    ['%d', [0xffff_ffffn], '-1'],
    ['%u', [-1n], '4294967295'],
    ['%i', [1n << 32n], '0'],
    ['%ld', [1n << 32n], '4294967296'],
    ['%lld', [-5n], '-5'],
    ['%lu', [-1n], '18446744073709551615'],
    ['%x', [-1n], 'ffffffff'],
    ['%llx', [-1n], 'ffffffffffffffff'],
    ['%X', [0xabn], 'AB'],
    ['%5d|%-5d|%05d', [42n, 42n, -42n], '   42|42   |-0042'],
    ['%+d % d', [1n, 2n], '+1  2'],
    ['%p', [0x1234n], '0000000000001234'],
    ['%px', [0x1234n], '1234'],
    ['%c%c', [0x41n, 0x142n], 'AB'],
    ['[%s]', [16n], '[text]'],
    ['[%6s]', [16n], '[  text]'],
    ['[%s]', [0n], '[]'],
    ['%pus', [16n], 'text'],
    ['%d %d %d', [1n, 2n, 3n], '1 2 3'],
    ['%2000d', [1n], '1'.padStart(1023)],
  ] as const) {
    it(`prints ${format}`, () =>
      assert.equal(
        formatPrintk(
          format,
          args.map((n) => BigInt.asUintN(64, n)),
          readString,
        ),
        text,
      ));
  }

  for (const [why, format] of [
    ['an unknown conversion', '%f'],
    ['a lone percent sign', '50%'],
    ['half a conversion', '%l'],
    ['a width from an argument', '%*d'],
    ['a pointer format it does not know', '%pI4'],
    ['more conversions than arguments', '%d %d %d %d'],
    ['a control character', '\x1b[31m'],
    ['a byte that is not ASCII', '\xe9'],
  ] as const) {
    it(`refuses ${why}`, () => assert.equal(formatPrintk(format, [1n, 2n, 3n], readString), undefined));
  }

  it('gives text or nothing for any format', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'%dlxsp0-+ 9c*uk') }), (format) => {
        const text = formatPrintk(format, [1n, 2n, 3n], readString);
        assert.ok(text === undefined || text.length <= 1023);
      }),
    );
  });
});

describe('bpf_trace_printk in the interpreter', () => {
  it('prints the text, strings read from the memory', () => {
    const printed: string[] = [];
    const data = new Uint8Array(64);
    data.set(Buffer.from('%s=%d\0'));
    data.set(Buffer.from('x\0'), 32);
    tracePrintk.run(
      interpreterWorld(data, (text) => printed.push(text)),
      [DATA, 6n, DATA + 32n, 5n, 0n],
    );
    assert.deepEqual(printed, ['x=5']);
  });
});

describe('the printk ring', () => {
  /** A ring, its reader and a producer. */
  function ring() {
    const memory = mapMemory(new Uint8Array(PRINTK_RING_SIZE));
    const data = new Uint8Array(256);
    const print = (format: string, arg: bigint): bigint => {
      data.set(Buffer.from(`${format}\0`));
      const target = targetMemory(data, memory.bytes);
      return BigInt.asIntN(64, callEmitted(tracePrintk, [DATA, 256n, arg], FACTS, target));
    };
    return { memory, reader: new PrintkReader(memory), print };
  }
  /** What a producer does before it is killed: it takes the next position. */
  const begin = (memory: { words: BigInt64Array }) => memory.words[RingHeader.reserved / 8]!++;
  const numbers = (reader: PrintkReader, now = 0) => reader.drain(now).map(({ args }) => Number(args[0]));

  it('gives records in order, once', () => {
    const { reader, print } = ring();
    print('a %d', 1n);
    print('b %d', 2n);
    assert.deepEqual(
      reader.drain(0).map(({ format, args }) => [format, args[0]]),
      [
        ['a %d', 1n],
        ['b %d', 2n],
      ],
    );
    assert.deepEqual(reader.drain(0), []);
    assert.equal(reader.lost, 0n);
  });

  it('counts exactly what there was no room for, and goes on over many laps', () => {
    const { reader, print } = ring();
    for (let lap = 0; lap < 3; lap++) {
      const results = Array.from({ length: SLOTS + 5 }, (_, index) => print('%d', BigInt(index)));
      assert.deepEqual(results.slice(SLOTS), Array(5).fill(-28n));
      assert.deepEqual(numbers(reader), [...Array(SLOTS).keys()]);
      assert.equal(reader.lost, 5n * BigInt(lap + 1));
    }
  });

  it('waits for a record that was begun, then passes over it', () => {
    const { memory, reader, print } = ring();
    print('%d', 1n);
    begin(memory);
    print('%d', 2n);
    assert.deepEqual(numbers(reader, 1000), [1]);
    assert.deepEqual(numbers(reader, 1099), []);
    assert.deepEqual(numbers(reader, 1100), [2]);
    assert.equal(reader.lost, 1n);
  });

  it('gives a record that was finished late', () => {
    const { memory, reader } = ring();
    begin(memory);
    assert.deepEqual(numbers(reader, 0), []);
    memory.words[RingHeader.size / 8] = 1n;
    assert.equal(reader.drain(99).length, 1);
    assert.equal(reader.lost, 0n);
  });

  it('is carried on by the next reader', () => {
    const { memory, reader, print } = ring();
    print('%d', 1n);
    reader.drain(0);
    print('%d', 2n);
    assert.deepEqual(numbers(new PrintkReader(memory)), [2]);
  });

  it('survives whatever the target writes into it', () => {
    const word = fc.oneof(fc.bigInt({ min: 0n, max: 600n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(SLOT_SIZE), word), { maxLength: 50 }), (marks) => {
        const { memory, reader } = ring();
        for (const [at, value] of marks) memory.words[at] = value;
        for (let now = 0; now < 1000; now += 60) assert.ok(reader.drain(now).length <= SLOTS);
        assert.ok(new PrintkReader(memory).drain(0).length <= SLOTS);
      }),
    );
  });
});
