/** `remora verify` from outside: objects, and batches of bare bytecode. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { verifyObject } from '../../src/index.ts';
import { assemble } from '../../src/insn/assemble.ts';
import { encode } from '../../src/insn/encode.ts';
import { jsonLines, remora } from '../support/cli.ts';
import { COMPILERS, objectFile, objectNames } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';

const object = (name: string, compiler = 'clang-19'): string => join(ROOT, 'tests/objects', compiler, `${name}.bpf.o`);
const hex = (text: string): string => Buffer.from(encode(assemble(text))).toString('hex');

interface Line {
  readonly name?: string;
  readonly program?: string;
  readonly verdict?: string;
  readonly message?: string | null;
  readonly line?: string | null;
  readonly insns_processed?: number;
  readonly time_us?: number;
  readonly error?: string;
}

/** Objects that are not to be accepted, or not in all their programs. */
const REFUSED = /^(unsupported-|core-|mixed$)/;

for (const compiler of COMPILERS) {
  describe(`objects that ${compiler} made`, () => {
    for (const name of objectNames(compiler).filter((candidate) => !REFUSED.test(candidate))) {
      it(`${name}: every program is accepted`, () => {
        const allow = ['override'] as const;
        const refused = [...verifyObject(objectFile(name, compiler), { allow })].filter(
          ({ error }) => error !== undefined,
        );
        assert.deepEqual(refused, []);
      });
    }
  });
}

describe('remora verify', () => {
  it('accepts an object, and says so with its exit code', async () => {
    const { code, stdout, stderr } = await remora(['verify', object('calls'), '--json']);
    const verdicts = (jsonLines(stdout) as Line[]).map(({ verdict }) => verdict);
    assert.deepEqual([code, stderr, new Set(verdicts)], [0, '', new Set(['accept'])]);
  });

  it('says what is not there of what a program reads', async () => {
    const { code, stdout } = await remora(['verify', object('core-missing'), '--json']);
    const [refused, accepted] = jsonLines(stdout) as Line[];
    assert.match(refused!.message!, /failed to resolve CO-RE relocation: struct task\.pid is not there/);
    assert.deepEqual([accepted!.verdict, code], ['accept', 6]);
  });

  it('gives one JSON line a program', async () => {
    const { stdout } = await remora(['verify', object('count'), '--json']);
    const [line, ...others] = jsonLines(stdout) as Line[];
    assert.equal(others.length, 0);
    const { insns_processed, time_us, ...rest } = line!;
    assert.deepEqual(rest, { program: 'on_call', section: 'uprobe', verdict: 'accept', message: null, line: null });
    assert.ok(insns_processed! > 5 && time_us! > 0);
  });

  it('says of an accepted program what it took', async () => {
    const { code, stdout } = await remora(['verify', object('count')]);
    assert.match(stdout, /^on_call \(uprobe\): accepted, \d+ instructions looked at, \d+ states at most, [\d.]+ ms\n$/);
    assert.equal(code, 0);
  });

  it('shows what registers hold before each instruction', async () => {
    const { stdout } = await remora(['verify', object('hash'), '-v']);
    assert.match(stdout, /R0=map_value_or_null\(map=calls/);
    assert.match(stdout, /R0=map_value\(map=calls/);
  });

  it('names programs that cannot be linked, and exits with 6', async () => {
    const { code, stdout } = await remora(['verify', object('map-in-map'), '--json']);
    assert.equal(jsonLines(stdout).length, 1);
    assert.equal(code, 0);
    const spoiled = await remora(['verify', object('count'), 'nobody']);
    assert.equal(spoiled.code, 4);
  });

  it('refuses programs that change the target unless that is allowed', async () => {
    const refused = await remora(['verify', object('override'), '--json']);
    assert.equal(refused.code, 6);
    const allowed = await remora(['verify', object('override'), '--json', '--allow', 'override']);
    assert.equal(allowed.code, 0);
  });

  it('answers a batch line by line', async () => {
    const lookup = `stdw [r10-8], 0\nmov r2, r10\nadd r2, -8\nlddw map_fd r1, 0\ncall 1\n`;
    const hash = { type: 'hash', key_size: 8, value_size: 8, max_entries: 1, at: [3] };
    const requests: { readonly request: object; readonly says: string }[] = [
      { request: { name: 'exits', insns: hex('mov r0, 0\nexit') }, says: 'accept' },
      {
        request: { name: 'follows', insns: hex('ldxdw r0, [r1]\nldxdw r0, [r0]\nexit') },
        says: "R0 invalid mem access 'scalar'",
      },
      {
        request: { name: 'tests', insns: hex(`${lookup}jeq r0, 0, exit\nldxdw r0, [r0]\nexit`), maps: [hash] },
        says: 'accept',
      },
      {
        request: { name: 'does not test', insns: hex(`${lookup}ldxdw r0, [r0]\nexit`), maps: [hash] },
        says: "R0 invalid mem access 'map_value_or_null'",
      },
      { request: { name: 'record', kind: 'tracepoint', insns: hex('ldxdw r0, [r1+8]\nexit') }, says: 'accept' },
      {
        request: { name: 'head', kind: 'tracepoint', insns: hex('ldxdw r0, [r1]\nexit') },
        says: 'invalid bpf_context access',
      },
      { request: { name: 'arguments', kind: 'raw_tracepoint', insns: hex('ldxdw r0, [r1+88]\nexit') }, says: 'accept' },
      { request: { name: 'no code', insns: 'ff' }, says: 'wanted a multiple of 8' },
    ];
    const { code, stdout } = await remora(
      ['verify', '--batch'],
      requests.map(({ request }) => JSON.stringify(request)).join('\n'),
    );
    const answers = jsonLines(stdout) as Line[];
    assert.equal(answers.length, requests.length);
    for (const [index, { request, says }] of requests.entries()) {
      const { name, verdict, message } = answers[index]!;
      assert.equal(name, (request as { name: string }).name);
      if (says === 'accept') assert.deepEqual([verdict, message], ['accept', null]);
      else assert.ok(verdict === 'reject' && message!.includes(says), `${name}: ${message}`);
    }
    assert.equal(code, 6);
  });

  it('answers a bad line of a batch with an error and goes on', async () => {
    const good = { name: 'exits', insns: hex('mov r0, 0\nexit') };
    const bad = {
      name: 'nowhere',
      insns: good.insns,
      maps: [{ type: 'hash', key_size: 8, value_size: 8, max_entries: 1, at: [0] }],
    };
    const unknown = { name: 'unknown', insns: good.insns, maps: [{ type: 'tree' }] };
    const lines = ['{', JSON.stringify(bad), JSON.stringify(unknown), JSON.stringify(good)];
    const { code, stdout } = await remora(['verify', '--batch'], lines.join('\n'));
    const answers = jsonLines(stdout) as Line[];
    assert.deepEqual(
      answers.map(({ error, verdict }) => (error === undefined ? verdict : 'error')),
      ['error', 'error', 'error', 'accept'],
    );
    assert.equal(code, 6);
  });

  it('wants a file or a batch', async () => {
    assert.equal((await remora(['verify'])).code, 2);
    assert.equal((await remora(['verify', object('count'), '--batch'])).code, 2);
  });
});
