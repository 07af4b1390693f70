import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble } from '../insn/assemble.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { bareProgram } from './bare-program.ts';
import { checkStructure, type StructureOptions } from './check-structure.ts';
import { VerifierError, type VerifierErrorCode } from './errors.ts';

const HELPERS: StructureOptions['helpers'] = new Map([
  [1, { args: ['map', 'mapKey'], returns: 'mapValueOrNull' }],
  [5, { args: [], returns: 'scalar' }],
  [6, { args: ['memRead', 'memSize', 'optional'], returns: 'void' }],
]);

const LOAD: StructureOptions = { helpers: HELPERS, arguments: 1 };

const check = (text: string, options: Partial<StructureOptions> = {}, facts: Partial<LinkedProgram> = {}) =>
  checkStructure({ ...bareProgram('test', assemble(text)), ...facts }, { ...LOAD, ...options });

/** A chain of functions, each using `bytes` of stack. */
const chain = (count: number, bytes: number): string =>
  Array.from({ length: count }, (_, index) => {
    const call = index + 1 < count ? `call local f${index + 1}` : 'mov r0, 0';
    return `f${index}: stdw [r10-${bytes}], 0\n${call}\nmov r0, 0\nexit`;
  }).join('\n');

describe('checkStructure', () => {
  for (const [what, text, stackSize, frameSize] of [
    ['the smallest program', 'mov r0, 0\nexit', 0],
    ['a store on the stack', 'stdw [r10-8], 0\nmov r0, 0\nexit', 16],
    ['a store at the end of the stack', 'stb [r10-512], 0\nmov r0, 0\nexit', 512],
    ['a store through a copy of r10', 'mov r2, r10\nadd r2, -40\nstw [r2+4], 0\nmov r0, 0\nexit', 48],
    ['a subtraction from r10', 'mov r2, r10\nsub r2, 16\nstw [r2+0], 0\nmov r0, 0\nexit', 16],
    ['a buffer given to a helper', 'mov r1, r10\nadd r1, -64\nmov r2, 64\ncall 6\nmov r0, 0\nexit', 64],
    [
      'a buffer behind an argument that may be left out',
      'mov r1, 0\nmov r2, 0\nmov r3, r10\nadd r3, -24\ncall 6\nmov r0, 0\nexit',
      32,
    ],
    ['a pointer stored away', 'mov r2, r10\nadd r2, -8\nstxdw [r10-16], r2\nmov r0, 0\nexit', 16, 512],
    ['a variable index', 'mov r2, r10\nadd r2, r1\nmov r0, 0\nexit', 0, 512],
    [
      'pointers that differ where paths meet',
      'mov r2, r10\njeq r1, 0, +1\nadd r2, -8\nstb [r2-8], 1\nmov r0, 0\nexit',
      16,
      512,
    ],
    [
      'a pointer given to a function',
      `mov r1, r10\nadd r1, -16\ncall local f\nmov r0, 0\nexit
        f: stdw [r10-64], 0\nstdw [r1+0], 0\nmov r0, 0\nexit`,
      80,
      512,
    ],
    ['pointers that differ and are not used', 'mov r2, r10\njeq r1, 0, +1\nadd r2, -8\nmov r0, 0\nexit', 0],
    ['eight functions deep', chain(8, 64), 512],
    ['an argument passed on', 'call local f\nexit\nf: mov r0, r1\nexit', 0],
    ['an argument not read', 'call local f\nexit\nf: jeq r1, 0, +1\nmov r5, 0\nmov r0, 0\nexit', 0],
    ['a function that returns nothing', 'call local f\nmov r0, 0\nexit\nf: stdw [r1+0], 1\nexit', 0],
    ['a helper by register', 'mov r1, 5\ncall r1\nexit', 0],
  ] as const) {
    it(`accepts ${what} with ${stackSize} bytes of stack`, () => {
      const accepted = check(text);
      assert.equal(accepted.stackSize, stackSize);
      if (frameSize !== undefined) assert.equal(accepted.frameSizes[0], frameSize);
    });
  }

  for (const [what, text, code, message] of [
    ['a jump behind the end', 'ja +1\nexit', 'VERIFIER_BAD_JUMP', 'jump out of range from insn 0 to 2'],
    ['a jump before the start', 'jeq r1, 0, -2\nexit', 'VERIFIER_BAD_JUMP', 'jump out of range from insn 0 to -1'],
    ['a jump into a lddw', 'ja +1\nlddw r0, 1\nexit', 'VERIFIER_BAD_JUMP', 'jump into the middle of ldimm64 insn 2'],
    [
      'a jump into another function',
      'call local f\nja f\nf: exit',
      'VERIFIER_BAD_JUMP',
      'jump out of range from insn 1 to 2',
    ],
    ['a missing exit', 'mov r0, 0', 'VERIFIER_FALL_THROUGH', 'last insn is not an exit or jmp'],
    ['a function without exit', 'call local f\nmov r0, 0\nf: exit', 'VERIFIER_FALL_THROUGH', 'last insn is not'],
    ['an unwritten register', 'mov r0, r2\nexit', 'VERIFIER_UNINITIALIZED', 'R2 !read_ok'],
    ['r0 unwritten at the end', 'exit', 'VERIFIER_UNINITIALIZED', 'R0 !read_ok'],
    ['one path that does not write', 'jeq r1, 0, +1\nmov r0, 0\nexit', 'VERIFIER_UNINITIALIZED', 'R0 !read_ok'],
    ['an argument after a call', 'call 5\nmov r0, r1\nexit', 'VERIFIER_UNINITIALIZED', 'R1 !read_ok'],
    ['a missing argument of a helper', 'call 1\nexit', 'VERIFIER_UNINITIALIZED', 'R2 !read_ok'],
    [
      'the result of a helper without one',
      'mov r1, 0\nmov r2, 0\ncall 6\nexit',
      'VERIFIER_UNINITIALIZED',
      'R0 !read_ok',
    ],
    ['the result of a function without one', 'call local f\nexit\nf: exit', 'VERIFIER_UNINITIALIZED', 'R0 !read_ok'],
    [
      'a missing argument of a function',
      'call local f\nexit\nf: mov r0, r3\nexit',
      'VERIFIER_UNINITIALIZED',
      'R3 !read_ok',
    ],
    ['r6 of the caller', 'mov r6, 0\ncall local f\nexit\nf: mov r0, r6\nexit', 'VERIFIER_UNINITIALIZED', 'R6 !read_ok'],
    ['cmpxchg without r0', 'lock cmpxchg [r1+0], r1\nexit', 'VERIFIER_UNINITIALIZED', 'R0 !read_ok'],
    ['a write to r10', 'add r10, -8\nmov r0, 0\nexit', 'VERIFIER_FRAME_POINTER', 'frame pointer is read only'],
    [
      'a fetch into r10',
      'lock xchg [r1+0], r10\nmov r0, 0\nexit',
      'VERIFIER_FRAME_POINTER',
      'frame pointer is read only',
    ],
    [
      'a store below the stack',
      'stdw [r10-520], 0\nexit',
      'VERIFIER_STACK_ACCESS',
      'invalid write to stack R10 off=-520 size=8',
    ],
    [
      'a load above the stack',
      'ldxw r0, [r10-2]\nexit',
      'VERIFIER_STACK_ACCESS',
      'invalid read from stack R10 off=-2 size=4',
    ],
    [
      'a stray copy of r10',
      'mov r2, r10\nadd r2, 8\nstb [r2+0], 0\nexit',
      'VERIFIER_STACK_ACCESS',
      'stack R2 off=8 size=1',
    ],
    [
      'too much stack together',
      chain(2, 264),
      'VERIFIER_STACK_TOO_LARGE',
      'combined stack size of 2 calls is 544. Too large',
    ],
    ['nine functions deep', chain(9, 8), 'VERIFIER_TOO_MANY_FRAMES', 'the call stack of 8 frames is too deep !'],
    ['recursion', 'f: call local f\nexit', 'VERIFIER_RECURSION', 'recursive call from insn 0 to test()'],
    [
      'recursion through another',
      'call local f\nexit\nf: call local g\nexit\ng: call local f\nexit',
      'VERIFIER_RECURSION',
      'from insn 4',
    ],
    ['an unknown helper', 'call 9999\nexit', 'VERIFIER_UNKNOWN_HELPER', 'invalid func unknown#9999'],
    ['a kernel function', 'call kfunc 7, 0\nexit', 'VERIFIER_KFUNC', 'calling kernel function'],
    [
      'a map that was not linked',
      'lddw map_fd r1, 3\nmov r0, 0\nexit',
      'VERIFIER_UNRESOLVED',
      'fd 3 is not pointing to valid bpf_map',
    ],
  ] satisfies [string, string, VerifierErrorCode, string][]) {
    it(`refuses ${what} with ${code}`, () => {
      assert.throws(
        () => check(text),
        (error) => error instanceof VerifierError && error.code === code && error.message.includes(message),
      );
    });
  }

  it('refuses a program without instructions', () => {
    assert.throws(
      () => check(''),
      (error) => error instanceof VerifierError && error.code === 'VERIFIER_TOO_LARGE',
    );
  });

  it('allows loops and dead code', () => {
    check('top: add r1, -1\njne r1, 0, top\nmov r0, 0\nexit\nexit');
  });

  it('gives the flow and the frame of each function', () => {
    const { flow, frameSizes } = check('call local f\nstb [r10-3], 0\nexit\nf: stdw [r10-24], 0\nmov r0, 0\nexit');
    assert.deepEqual(
      flow.map(({ start, end }) => [start, end]),
      [
        [0, 3],
        [3, 6],
      ],
    );
    assert.deepEqual(frameSizes, [8, 24]);
  });

  it('accepts references that are linked', () => {
    const map = { kind: 'map', map: 'counts' } as const;
    check('lddw map_fd r1, 3\nmov r0, 0\nexit', {}, { references: new Map([[0, map]]) });
  });

  it('counts a function whose address is taken as called', () => {
    const references = new Map([[0, { kind: 'function', insn: 0 } as const]]);
    assert.throws(() => check('lddw function r1, 0\nmov r0, 0\nexit', {}, { references }), {
      code: 'VERIFIER_RECURSION',
    });
  });

  it('names the source line, which covers all instructions up to the next', () => {
    const line = { file: 'count.bpf.c', line: 7, column: 3, text: '  return bogus;' };
    assert.throws(() => check('mov r1, 0\nmov r0, r3\nexit', {}, { lines: new Map([[0, line]]) }), {
      insn: 1,
      line,
      why: 'count.bpf.c:7: return bogus;',
    });
  });

  it('takes no more than moments for a program as large as can be', () => {
    const branches = 'jeq r1, 0, +1\nmov r0, 0\n'.repeat(200_000);
    check(`mov r0, 0\n${branches}exit`);
  });
});
