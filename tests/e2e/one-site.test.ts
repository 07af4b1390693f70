/** Programs of every kind at one function: its entry, its instructions, its return and its place, in one trampoline. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { disassembleX64, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { OverriddenTarget } from '../support/overridden-target.ts';

/** Slots of `seen` in function-calls.bpf.c; `first` and `second` are the arguments that `on_arguments` asked for. */
const Seen = { argument1: 1, argument2: 2, ax: 5, first: 10, second: 11 } as const;

const usual = (a: bigint, b: bigint): bigint => (a << 32n) | b;

/** The places of `combine` behind its entry, and the one of its ret. */
function instructionsOf(process: TargetProcess): { readonly inner: string[]; readonly ret: string } {
  const { address, size } = process.resolveFunction(process.findModule('overridden'), 'combine');
  const lines = disassembleX64(process.memory.read(address, size), address);
  const placeOf = (line: (typeof lines)[number]) => `uprobe:overridden:combine+${line.address - address}`;
  const ret = lines.find(({ text }) => text.startsWith('ret'));
  assert.ok(ret !== undefined);
  return {
    inner: lines.filter(({ text, address: at }) => at > address && text !== 'endbr64').map(placeOf),
    ret: placeOf(ret),
  };
}

describe('one function', { skip: CANNOT_TRACE }, () => {
  for (const [order, arrange] of [
    ['from its return on', (places: string[]) => places],
    ['from its entry on', (places: string[]) => places.toReversed()],
  ] as const) {
    it(`takes programs of every kind, attached ${order}`, () => {
      using target = new OverriddenTarget();
      const before = codeHashes(target.pid);
      using process = openProcess(target.pid);
      using object = openObject(objectFile('function-calls'), { allow: ['override'] });
      const entry = 'uprobe:overridden:combine';
      const places = [
        'uretprobe:overridden:combine',
        ...instructionsOf(process).inner,
        'uprobe.override:overridden:combine',
        entry,
      ];
      const programOf = (place: string) =>
        place.startsWith('uret') ? 'on_return' : place.startsWith('uprobe.') ? 'on_override' : 'on_entry';
      const links = new Map(
        arrange(places).map((place) => [place, object.program(programOf(place)).attachTo(process, place)]),
      );
      const hits = () => places.map((place) => links.get(place)!.hits);
      // Programs at the entry run in the order they came: one that comes behind a bypass is passed by.
      const isFirst = arrange(places).indexOf(entry) < arrange(places).indexOf('uprobe.override:overridden:combine');
      assert.equal(target.call(0xabcen, 5n), 0xabd3n);
      assert.deepEqual(
        hits(),
        places.map((place) => BigInt(programOf(place) !== 'on_entry' || (place === entry && isFirst))),
      );
      const bypassed = hits();
      assert.equal(target.call(1n, 5n), usual(1n, 5n));
      assert.deepEqual(
        hits(),
        bypassed.map((count) => count + 1n),
      );
      for (const [place, link] of links) {
        link.detach();
        assert.equal(target.call(1n, 6n), usual(1n, 6n), `without ${place}`);
      }
      assert.equal(target.wrong, 0n);
      object[Symbol.dispose]();
      assert.deepEqual(codeHashes(target.pid), before);
      assert.equal(target.call(0xabcen, 5n), usual(0xabcen, 5n));
    });
  }

  it('shows each of several programs the registers as the one in front of it left them', () => {
    using target = new OverriddenTarget();
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'), { allow: ['override'] });
    const seen = (slot: number) => BigInt(object.map('seen').entries()[slot]!.value as number);
    const [entry, end] = ['uprobe:overridden:combine', 'uretprobe:overridden:combine'];
    for (const name of ['on_entry', 'on_arguments', 'on_write_argument', 'on_write_argument', 'on_entry']) {
      object.program(name).attachTo(process, entry);
    }
    for (const name of ['on_return', 'on_write_result', 'on_return', 'on_write_result', 'on_write_result']) {
      object.program(name).attachTo(process, end);
    }
    // An odd b has 1000 added to a, twice.
    for (const [a, passed] of [
      [1n, 2001n],
      [0xabcen, 0xabcen + 2000n],
    ] as const) {
      const b = 7n;
      assert.equal(BigInt.asIntN(64, target.call(a, b)), -usual(passed, b));
      assert.deepEqual([Seen.argument1, Seen.argument2].map(seen), [passed, b], 'the last at the entry');
      assert.deepEqual([Seen.first, Seen.second].map(seen), [a, b], 'the second at the entry');
      assert.equal(BigInt.asIntN(64, seen(Seen.ax)), -usual(passed, b), 'the third at the return');
    }
    assert.equal(target.wrong, 0n);
  });

  it('goes on with what a program inside it wrote to rax', () => {
    using target = new OverriddenTarget();
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'), { allow: ['override'] });
    object.program('on_write_result').attachTo(process, instructionsOf(process).ret);
    assert.equal(BigInt.asIntN(64, target.call(1n, 3n)), -usual(1n, 3n));
    assert.equal(target.wrong, 0n);
  });

  for (const [program, prefix] of [
    ['on_return', 'uretprobe'],
    ['on_override', 'uprobe.override'],
    ['on_replace', 'uprobe.replace'],
  ] as const) {
    it(`takes no ${prefix} but at its entry`, () => {
      using target = new OverriddenTarget();
      using process = openProcess(target.pid);
      using object = openObject(objectFile('function-calls'), { allow: ['override'] });
      const place = instructionsOf(process).ret.replace('uprobe', prefix);
      assert.throws(() => object.program(program).attachTo(process, place), { code: 'ATTACH_ENTRY_ONLY' });
    });
  }
});
