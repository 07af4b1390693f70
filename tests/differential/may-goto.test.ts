/** may_goto, which ends a loop after so many passes: the interpreter and native code count alike. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble } from '../../src/insn/assemble.ts';
import { MAY_GOTO_LIMIT } from '../../src/insn/form.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { checkBare, nativeCode } from '../support/compiling.ts';
import { CODE_ADDRESS, NativeRunner } from '../support/native-runner.ts';

const LIMIT = BigInt(MAY_GOTO_LIMIT);

const CASES = [
  ['ends a loop that nothing else ends', 'mov r0, 0\ntop: add r0, 1\nmay_goto exit\nja top\nexit', LIMIT + 1n],
  ['falls through at first', 'mov r0, 1\nmay_goto exit\nmov r0, 2\nexit', 2n],
  [
    'stays spent',
    'mov r0, 0\ntop: may_goto next\nja top\nnext: may_goto end\nmov r0, 1\nend: may_goto exit\nadd r0, 2\nexit',
    0n,
  ],
  [
    'counts each call anew',
    `mov r6, 0
     call local f
     add r6, r0
     call local f
     add r6, r0
     mov r0, r6
     exit
     f: mov r0, 0
     top: may_goto done
     add r0, 1
     jlt r0, 100, top
     done: exit`,
    200n,
  ],
] as const;

describe('may_goto', () => {
  for (const [what, text, expected] of CASES) {
    it(what, async () => {
      const program = checkBare(assemble(text));
      assert.equal(new Interpreter(program, { stepLimit: 30_000_000 }).run(new Uint8Array(0)), expected);
      using runner = new NativeRunner();
      const [outcome] = await runner.run([{ code: nativeCode(program, CODE_ADDRESS), memory: new Uint8Array(8) }]);
      assert.ok('result' in outcome!, 'the program ended');
      assert.equal(outcome.result, expected);
    });
  }
});
