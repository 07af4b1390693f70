/** `remora vm` from outside: the plug-in protocol of bpf_conformance, with its own cases. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { jsonLines, remora } from '../support/cli.ts';
import { CONFORMANCE_CASES } from '../support/conformance-cases.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const RETURN_3 = 'b400000003000000 9500000000000000';
/** r0 = r2; exit */
const RETURN_SIZE = 'bf20000000000000 9500000000000000';
/** r0 = *(u8 *)(r1 + 0); exit */
const READ_FIRST = '7110000000000000 9500000000000000';
/** r0 = 0; goto -1; exit */
const FOREVER = 'b700000000000000 0500ffff00000000 9500000000000000';
const READ_R0 = '9500000000000000';

for (const [engine, options] of [
  ['native code', []],
  ['the interpreter', ['--interpret']],
] as const) {
  describe(`remora vm, ${engine}`, () => {
    it('returns what every conformance case expects, in one batch', async () => {
      const input = CONFORMANCE_CASES.map(({ code, memory }) => JSON.stringify({ code: hex(code), mem: hex(memory) }));
      const { code, stdout, stderr } = await remora(['vm', '--batch', ...options], input.join('\n'));
      assert.equal(stderr, '');
      assert.deepEqual(
        jsonLines(stdout).map((answer, index) => ({ name: CONFORMANCE_CASES[index]?.name, answer })),
        CONFORMANCE_CASES.map(({ name, expected }) => ({ name, answer: { r0: `0x${expected.toString(16)}` } })),
      );
      assert.equal(code, 0);
    });

    for (const [why, args, input, expected] of [
      ['prints r0 in hex', [], RETURN_3, '3'],
      ['takes blanks and newlines in the program', [], 'b4 00 00 00 03 00 00 00\n95 00 00 00 00 00 00 00\n', '3'],
      ['takes upper case', [], RETURN_3.toUpperCase(), '3'],
      ['passes the size of the memory', ['01 02 03'], RETURN_SIZE, '3'],
      ['passes its bytes', ['fe'], READ_FIRST, 'fe'],
      ['has no memory by default', [], RETURN_SIZE, '0'],
      ['takes the --debug of the protocol', ['--debug'], RETURN_3, '3'],
    ] as const) {
      it(why, async () => {
        const result = await remora(['vm', ...options, ...args], input);
        assert.deepEqual(result, { code: 0, stdout: `${expected}\n`, stderr: '' });
      });
    }

    it('answers a bad access with an error and goes on', async () => {
      const lines = [{ code: READ_FIRST }, { code: RETURN_3 }].map((line) => JSON.stringify(line));
      const { code, stdout } = await remora(['vm', '--batch', ...options], lines.join('\n'));
      const [bad, good] = jsonLines(stdout) as { readonly error?: string }[];
      assert.match(bad?.error ?? '', options.length === 0 ? /SIGSEGV/ : /not the program's/);
      assert.deepEqual(good, { r0: '0x3' });
      assert.equal(code, 0);
    });

    it('ends a program that does not', async () => {
      const { code, stderr } = await remora(['vm', '--time-limit', '300ms', ...options], FOREVER);
      assert.match(stderr, options.length === 0 ? /ran for more than 300 ms/ : /it has run \d+ instructions/);
      assert.equal(code, 1);
    });
  });
}

describe('remora vm', () => {
  for (const [why, args, input, code, message] of [
    ['text that is not hex', [], 'r0 = 1', 2, /^error: cannot read the program: wanted hexadecimal bytes\n$/],
    ['memory that is not hex', ['0g'], RETURN_3, 2, /^error: cannot read MEMORY: wanted hexadecimal bytes\n$/],
    ['memory beside a batch', ['--batch', '00'], '', 2, /^error: cannot take MEMORY with --batch/],
    ['bytes that are no instruction', [], 'ff'.repeat(8), 6, /^error: cannot decode .*unknown opcode ff\n$/],
    ['a program that reads what it has not written', [], READ_R0, 6, /R0 !read_ok/],
    ['an option it does not have', ['--elf'], RETURN_3, 2, /^error: unknown option '--elf'/],
  ] as const) {
    it(`refuses ${why} with exit code ${code}`, async () => {
      const result = await remora(['vm', ...args], input);
      assert.match(result.stderr, message);
      assert.deepEqual([result.code, result.stdout], [code, '']);
    });
  }

  it('answers each bad line of a batch by itself', async () => {
    const cases = [
      ['{"code":"zz"}', /^cannot read code: wanted hexadecimal bytes$/],
      ['nonsense', /^cannot read the line: it is not JSON$/],
      ['null', /^cannot read the line: wanted/],
      ['{"code":"","mem":1}', /^cannot read the line: wanted/],
      [`{"code":"${READ_R0}"}`, /^cannot accept program/],
    ] as const;
    const { code, stdout } = await remora(['vm', '--batch'], cases.map(([line]) => `${line}\n\n`).join(''));
    const answers = jsonLines(stdout) as { readonly error: string }[];
    assert.equal(answers.length, cases.length);
    for (const [index, [, message]] of cases.entries()) assert.match(answers[index]!.error, message);
    assert.equal(code, 0);
  });
});
