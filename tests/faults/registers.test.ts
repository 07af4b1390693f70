/**
 * Faults A11 to A13: all that a processor holds, and the red zone, across millions of hits of programs that call every
 * helper. What the function itself does not change comes back to the last bit.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, disassembleX64, openObject, PtRegs } from '../../src/index.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { addressOf } from '../support/variables.ts';

const open = (name = 'every-helper') => openObject(objectFile(name), { allow: ['override'] });

/** Where the nop of a function of registers.c is: in the middle of it. */
function placeOfNop({ target }: FaultsTarget, name: string): string {
  const { address, size } = target.resolveFunction(target.findModule('registers'), name);
  const nop = disassembleX64(target.memory.read(address, size), address).find(({ text }) => text.startsWith('nop'));
  assert.ok(nop !== undefined);
  return `uprobe:registers:${name}+${nop.address - address}`;
}

/** Runs `count` hits of one program at a place and requires that all was as without. */
function torture(
  mode: 'hit' | 'flagged' | 'leaf',
  program: string,
  place: string | undefined,
  count: number,
  look: (object: BpfObject, faults: FaultsTarget) => void = () => undefined,
  file?: string,
): void {
  using faults = new FaultsTarget(mode, 0, 'registers');
  using object = open(file);
  faults.runUntil('made', 1000n);
  assert.equal(faults.get('wrong'), 0n, 'without a probe');
  const before = faults.get('made');
  const link = object.program(program).attachTo(faults.target, place ?? placeOfNop(faults, mode));
  faults.runUntil('made', before + BigInt(count));
  assert.equal(faults.get('wrong'), 0n);
  assert.equal(link.hits, faults.get('made') - before);
  look(object, faults);
  object[Symbol.dispose]();
  assert.deepEqual(faults.changedCode(), []);
}

/** A bit less than half of the state in every thousand calls: see `compared` in registers.c. */
const LEAST_STATE = 800;

describe('registers of every kind', () => {
  for (const [title, mode, program, place, count, long] of [
    ['an entry', 'hit', 'on_call', 'uprobe:registers:hit', 4e6, 1e8],
    ['an entry, with helpers that make system calls', 'hit', 'on_call_slowly', 'uprobe:registers:hit', 3e5, 1e7],
    ['an instruction inside, flags and direction included', 'flagged', 'on_call', undefined, 3e6, 1e8],
    ['an instruction inside, with system calls', 'flagged', 'on_call_slowly', undefined, 2e5, 1e7],
    ['a return', 'hit', 'on_return', 'uretprobe:registers:hit', 2e6, 1e8],
    ['a bypass', 'hit', 'on_override', 'uprobe.override:registers:hit', 1e6, 1e8],
    ['a replacement', 'hit', 'on_replace', 'uprobe.replace:registers:hit', 1e6, 1e8],
  ] as const) {
    it(`A12: are kept at ${title}`, () => {
      torture(mode, program, place, repetitions(count, long), (_, faults) => {
        const batches = Number(faults.get('made')) / 1000;
        assert.ok(Number(faults.get('compared')) >= batches * LEAST_STATE, 'vector registers were compared too');
      });
    });
  }

  for (const [program, map, least] of [
    // A thousand calls have one argument, and by that all of them may be taken back: as many as find room.
    ['on_reserve', 'events', 0],
    ['on_output', 'pairs', 1],
    ['on_sample', 'samples', 1],
  ] as const) {
    it(`A12: are kept while events are sent, and while there is no room for them: ${program}`, () => {
      torture(
        'flagged',
        program,
        undefined,
        repetitions(2e5, 1e7),
        (object) => {
          const { events } = object.map(map);
          assert.ok(events!.consume(() => {}) >= least);
          assert.ok(events!.lost > 0n);
        },
        'events',
      );
    });
  }

  it('A12: are what a program finds in its context', () => {
    using faults = new FaultsTarget('hit', 0, 'registers');
    using object = openObject(objectFile('context'));
    object.program('on_hit').attachTo(faults.target, 'uprobe:registers:hit');
    faults.runUntil('made', 10_000n);
    const seen = object.map('last').entries()[0]!.value as Record<string, number | string>;
    const address = addressOf(faults.target, 'registers', 'in');
    const given = new BigUint64Array(faults.target.memory.read(address, 15 * 8).slice().buffer);
    // The last of them all: ax holds what the call before it returned.
    const names = ['cx', 'dx', 'bx', 'bp', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
    for (const [n, name] of names.entries()) {
      assert.ok(name in PtRegs.offsetOf);
      assert.equal(BigInt.asUintN(64, BigInt(seen[name]!)), given[n + 1], name);
    }
    assert.equal(BigInt.asUintN(64, BigInt(seen.ax!)), BigInt.asUintN(64, given[5]! + given[6]!));
  });

  for (const [program, kind] of [
    ['on_call', 'uprobe'],
    ['on_call_slowly', 'uprobe'],
    ['on_return', 'uretprobe'],
  ] as const) {
    it(`A11: are kept as a caller expects that knows its callee: ${program}`, () => {
      using faults = new FaultsTarget('', 0, 'kept');
      using object = open();
      const { target } = faults;
      const { address, size } = target.resolveFunction(target.findModule('kept'), 'keeper');
      const code = disassembleX64(target.memory.read(address, size), address).map(({ text }) => text);
      assert.ok(!code.some((text) => /push|\[rsp/.test(text)), 'the compiler keeps everything in registers');
      const link = object.program(program).attachTo(target, `${kind}:kept:callee`);
      faults.runUntil('made', 100_000n);
      assert.equal(link.hits, 2n * faults.get('made'));
      assert.equal(faults.get('wrong'), 0n);
      object[Symbol.dispose]();
      assert.deepEqual(faults.changedCode(), []);
    });
  }

  it('A13: the red zone is kept at an instruction of a leaf function that uses all of it', () => {
    torture('leaf', 'on_call', undefined, repetitions(5e6, 1e8));
  });

  it('A13: the same, with helpers that make system calls', () => {
    torture('leaf', 'on_call_slowly', undefined, repetitions(2e5, 1e7));
  });
});
