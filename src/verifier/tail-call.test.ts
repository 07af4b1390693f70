import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROTOTYPES } from '../helpers/kernel-prototypes.ts';
import { assemble } from '../insn/assemble.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { Reference } from '../object/spec.ts';
import { bareProgram } from './bare-program.ts';
import { PROGRAM_KINDS } from './program-kind.ts';
import { verify } from './verify.ts';

const JUMPS: MapSpec = {
  ...{ name: 'jumps', type: 3, keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, keyTypeId: 0, valueTypeId: 0 },
};

/** The message of the refusal; '' if it is accepted. */
function refusalOf(text: string): string {
  const insns = assemble(text);
  const references = new Map<number, Reference>();
  for (const [index, insn] of insns.entries()) {
    if (insn.imm64 === 1n) references.set(index, { kind: 'map', map: 'jumps' });
    // `lddw 2` stands for the address of the last function.
    if (insn.imm64 === 2n) references.set(index, { kind: 'function', insn: insns.length - LAST });
  }
  const verdict = verify(bareProgram('test', insns, references), {
    kind: PROGRAM_KINDS.uprobe,
    helpers: PROTOTYPES,
    maps: new Map([['jumps', JUMPS]]),
    btf: undefined,
    allow: new Set(),
  });
  return verdict.verdict === 'accept' ? '' : verdict.error.message;
}

const TAIL_CALL = 'lddw r2, 1\nmov r3, 0\ncall 12';
/** Instructions of a function that is called back and makes a tail call. */
const LAST = 6;

describe('tail calls', () => {
  for (const [what, text, message] of [
    ['of the program itself', `${TAIL_CALL}\nmov r0, 0\nexit`, ''],
    ['that come back leave nothing in r0', `${TAIL_CALL}\nexit`, 'R0 !read_ok'],
    [
      'through a pointer that is not the context',
      `mov r1, r10\n${TAIL_CALL}\nmov r0, 0\nexit`,
      'R1 type=fp expected=ctx',
    ],
    [
      'with a map of values',
      `lddw r2, 1\nmov r2, r10\nmov r3, 0\ncall 12\nmov r0, 0\nexit`,
      'R2 type=fp expected=map_ptr',
    ],
    [
      'of a function: its caller may count on nothing it returns',
      `call local f\nmov r2, r10\nadd r2, r0\nstdw [r2], 0\nmov r0, 0\nexit\nf: ${TAIL_CALL}\nmov r0, -8\nexit`,
      'math between fp pointer and register with unbounded min value is not allowed',
    ],
    [
      'nowhere: what the function returns is known',
      'call local f\nmov r2, r10\nadd r2, r0\nstdw [r2], 0\nmov r0, 0\nexit\nf: mov r0, -8\nexit',
      '',
    ],
    [
      'of a function below 240 bytes of stack',
      `stdw [r10-240], 0\ncall local f\nmov r0, 0\nexit\nf: ${TAIL_CALL}\nmov r0, 0\nexit`,
      '',
    ],
    [
      'of a function below 256 bytes of stack',
      `stdw [r10-256], 0\ncall local f\nmov r0, 0\nexit\nf: ${TAIL_CALL}\nmov r0, 0\nexit`,
      'tail_calls are not allowed when call stack of previous frames is 256 bytes. Too large',
    ],
    [
      'of a function below 256 bytes of stack of two',
      `stdw [r10-128], 0\ncall local f\nmov r0, 0\nexit\nf: stdw [r10-120], 0\ncall local g\nmov r0, 0\nexit\ng: ${TAIL_CALL}\nmov r0, 0\nexit`,
      'tail_calls are not allowed when call stack of previous frames is 256 bytes. Too large',
    ],
  ] as const) {
    it(`${what}${message === '' ? '' : ', and are refused where it does'}`, () => {
      const refusal = refusalOf(text);
      if (message === '') assert.equal(refusal, '');
      else assert.ok(refusal.includes(message), refusal);
    });
  }

  it('of a function that is called back are refused', () => {
    // It is called, too: else nobody knows that a function begins there.
    const called = 'mov r6, r1\nstxdw [r10-8], r6\nmov r2, r10\nadd r2, -8\ncall local f';
    const calledBack = 'mov r1, 1\nlddw r2, 2\nmov r3, r10\nadd r3, -8\nmov r4, 0\ncall 181';
    const f = `f: ldxdw r1, [r2]\n${TAIL_CALL}\nmov r0, 0\nexit`;
    assert.equal(refusalOf(`${called}\nmov r0, 0\nexit\n${f}`), '');
    const text = `${called}\n${calledBack}\nmov r0, 0\nexit\n${f}`;
    assert.match(refusalOf(text), /tail calls are not allowed in functions that are called back/);
  });
});
