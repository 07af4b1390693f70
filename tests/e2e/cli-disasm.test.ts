/** `remora disasm` from outside. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { jsonLines, remora } from '../support/cli.ts';
import { ROOT } from '../support/root.ts';

const object = (name: string): string => join(ROOT, 'tests/objects/clang-19', `${name}.bpf.o`);

const COUNT_LISTING = `on_call: uprobe
; int on_call(struct pt_regs *ctx)  [./count.bpf.c:14]
   0: (b4) w1 = 0
; __u32 key = 0;  [./count.bpf.c:16]
   1: (63) *(u32 *)(r10 - 4) = w1
   2: (bf) r2 = r10
   3: (07) r2 += -4
; __u64 *value = bpf_map_lookup_elem(&counts, &key);  [./count.bpf.c:17]
   4: (18) r1 = map[counts]
   6: (85) call bpf_map_lookup_elem
; if (value)  [./count.bpf.c:19]
   7: (15) if r0 == 0x0 goto +2 <10>
   8: (b7) r1 = 1
; __sync_fetch_and_add(value, 1);  [./count.bpf.c:20]
   9: (db) lock *(u64 *)(r0 + 0) += r1
; return 0;  [./count.bpf.c:21]
  10: (b4) w0 = 0
  11: (95) exit

`;

interface ProgramLine {
  readonly type: string;
  readonly name: string;
  readonly section: string;
  readonly insns: readonly { readonly slot: number; readonly text: string; readonly native?: readonly unknown[] }[];
}

describe('remora disasm', () => {
  it('prints bytecode with source lines and names', async () => {
    const result = await remora(['disasm', object('count')]);
    assert.deepEqual(result, { code: 0, stdout: COUNT_LISTING, stderr: '' });
  });

  it('prints the functions a program calls behind it', async () => {
    const { stdout } = await remora(['disasm', object('calls'), 'first']);
    assert.match(stdout, /^first: uprobe\/first$/m);
    assert.match(stdout, /: \(85\) call twice_triple$/m);
    assert.match(stdout, /^twice_triple:$/m);
  });

  it('prints every program of an object, or the one named', async () => {
    const all = await remora(['disasm', object('programs'), '--json']);
    const names = jsonLines(all.stdout).map((line) => (line as ProgramLine).name);
    assert.deepEqual(names, ['on_malloc', 'on_malloc_too', 'on_free', 'on_calloc', 'on_realloc']);
    const one = await remora(['disasm', object('programs'), 'on_free', '--json']);
    assert.deepEqual(
      jsonLines(one.stdout).map((line) => (line as ProgramLine).section),
      ['uprobe/libc.so.6:free'],
    );
  });

  it('prints the machine code under each instruction', async () => {
    const { code, stdout, stderr } = await remora(['disasm', object('count'), '--native']);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    // Without the machine code it is the listing above.
    const lines = stdout.split('\n');
    const native = lines.filter((line) => /^ {8}/.test(line));
    assert.deepEqual(lines.filter((line) => !/^ {8}|^afterwards, /.test(line)).join('\n'), COUNT_LISTING);
    assert.ok(native.length > 0);
    for (const line of native) assert.match(line, /^ {8}[0-9a-f]+: {2}([0-9a-f]{2})+ +[a-z]/);
    // The whole lookup is gone: an address known at compile time is left of it.
    const at = lines.findIndex((line) => line.includes('lock *(u64 *)'));
    assert.match(lines.slice(at + 1, at + 3).join('\n'), /lock (inc|add|xadd)/);
  });

  it('gives the machine code in JSON too', async () => {
    const { stdout } = await remora(['disasm', object('count'), '--native', '--json']);
    const [program] = jsonLines(stdout) as ProgramLine[];
    assert.ok(program?.insns.some(({ native }) => native !== undefined && native.length > 0));
  });

  for (const [why, args, code, message] of [
    ['a program that is not there', [object('count'), 'nope'], 4, /no such program\nwhy: {3}it has on_call\n/],
    ['a file that is not there', ['nope.bpf.o'], 2, /^error: cannot read nope.bpf.o: ENOENT\n$/],
    ['a file that is no object', [join(ROOT, 'package.json')], 2, /^error: cannot read ELF/],
  ] as const) {
    it(`refuses ${why} with exit code ${code}`, async () => {
      const result = await remora(['disasm', ...args]);
      assert.match(result.stderr, message);
      assert.deepEqual([result.code, result.stdout], [code, '']);
    });
  }
});
