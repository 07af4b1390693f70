/**
 * Fault A10: every function of real libraries. First by analysis, tens of thousands of them; then for real, all functions
 * of libcrypto and libc in a live process in one stop, while it computes.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SURVEYED, survey } from '../../benchmarks/survey.ts';
import type { LoweredProgram } from '../../src/arch/x64/lower.ts';
import { absolute } from '../../src/arch/x64/memory.ts';
import { AttachError } from '../../src/attach/errors.ts';
import { UprobeSites } from '../../src/attach/uprobe/sites.ts';
import { SymbolType } from '../../src/elf/symbols.ts';
import { openProcess } from '../../src/index.ts';
import { Injection } from '../../src/inject/injection.ts';
import type { Module } from '../../src/process/module.ts';
import { codeHashes } from '../support/code-hash.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

describe('every function of real binaries', () => {
  const files = SURVEYED.filter((file) => existsSync(file));

  it('A10: can be hooked, 99.5 % of them, as far as analysis goes', {
    skip: files.length < 5 && 'too few of them are installed',
  }, () => {
    const rows = files.map(survey);
    const functions = rows.reduce((sum, row) => sum + row.functions, 0);
    const hooked = rows.reduce((sum, row) => sum + row.hooked, 0);
    assert.ok(functions >= 20_000, `only ${functions} functions`);
    assert.ok(hooked / functions >= 0.995, JSON.stringify(rows, null, 1));
  });

  for (const library of ['libcrypto.so.3', 'libc.so.6']) {
    it(`A10: is hooked in ${library}, all at once, while python3 hashes`, {
      skip: !hasPython() && 'no python3 with libcrypto',
    }, () => {
      using python = new Hashing();
      const before = codeHashes(python.pid);
      const expected = python.round();
      using target = openProcess(python.pid);
      const module = target.findModule(library);
      const functions = functionsOf(module);
      using injection = new Injection(target);
      const { address } = injection.share(8 * functions.length);
      const sites = new UprobeSites(injection);
      const refused: string[] = [];
      const removals = injection.batch(() =>
        functions.flatMap((at, index) => {
          try {
            const located = sites.locate({ target: at, offset: 0 });
            return [sites.add(located, { program: counting(address + BigInt(8 * index)) })];
          } catch (error) {
            if (!(error instanceof AttachError)) throw error;
            refused.push(`${at.name}: ${error.message}`);
            return [];
          }
        }),
      );
      assert.ok(removals.length >= functions.length * 0.995, refused.join('\n'));
      for (let round = 0; round < 3; round++) assert.equal(python.round(), expected);
      const counts = new BigUint64Array(injection.shared.buffer, injection.shared.byteOffset, functions.length);
      const called = counts.filter((count) => count > 0n).length;
      assert.ok(called > 20, `only ${called} functions were called`);
      injection.batch(() => {
        for (const remove of removals) remove();
      });
      assert.equal(python.round(), expected);
      assert.ok(injection.release());
      assert.deepEqual(codeHashes(python.pid), before);
    });
  }
});

/** Counts in a cell of its own, as good as one thread needs. */
function counting(cell: bigint): LoweredProgram {
  return {
    clobbered: new Set(),
    reads: new Set(),
    stackBytes: 0,
    result: undefined,
    emitBody: (a) => a.inc(absolute(cell)),
    emitFunctions() {},
  };
}

function functionsOf(module: Module) {
  const found = new Map<bigint, { module: Module; name: string; address: bigint; size: number }>();
  for (const { type, section, value, size, name } of module.elf.symbols()) {
    if (type === SymbolType.FUNC && section !== 0) {
      found.set(value, { module, name, address: value + module.bias, size });
    }
  }
  return [...found.values()];
}

function hasPython(): boolean {
  return spawnSync('/usr/bin/python3', ['-c', 'import ssl, hashlib']).status === 0;
}

const SCRIPT = `
import hashlib, ssl, sys, json, zlib
print('ready', flush=True)
for line in sys.stdin:
    text = (line.strip() * 1000).encode()
    digests = [hashlib.new(name, text).hexdigest() for name in ('sha256', 'sha512', 'sha1', 'sha3_256', 'blake2b')]
    digests.append(hashlib.pbkdf2_hmac('sha256', text, b'salt', 100).hex())
    digests.append(hashlib.scrypt(text, salt=b'salt', n=64, r=2, p=1).hex())
    context = ssl.create_default_context()
    print(json.dumps([digests, len(context.get_ciphers())]), flush=True)
`;

/** python3, which computes digests for each line it is given. */
class Hashing implements Disposable {
  readonly pid: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-hashing-'));
  readonly #input: number;
  #lines = 1;

  constructor() {
    const [input, output] = [join(this.#folder, 'in'), join(this.#folder, 'out')];
    // Opened for reading and writing, so that neither side waits for the other.
    const script = 'mkfifo "$1"; in=$1; out=$2; shift 2; setsid "$@" <>"$in" >"$out" 2>&1 & echo $!';
    const command = ['/usr/bin/python3', '-c', SCRIPT];
    const { stdout } = spawnSync('sh', ['-c', script, 'sh', input, output, ...command], { encoding: 'utf8' });
    this.pid = Number.parseInt(stdout, 10);
    this.#input = openSync(input, 'r+');
    waitUntil('python3 is ready', () => this.#output.length === 2, 20_000);
  }

  /** The digests of one text. */
  round(): string {
    writeSync(this.#input, 'remora\n');
    this.#lines++;
    const isDone = () => this.#output.length > this.#lines || stateOf(this.pid) === undefined;
    waitUntil('the digests are there', isDone, 60_000);
    return this.#output[this.#lines - 1]!;
  }

  get #output(): string[] {
    return readFileSync(join(this.#folder, 'out'), 'utf8').split('\n');
  }

  [Symbol.dispose](): void {
    closeSync(this.#input);
    if (stateOf(this.pid) !== undefined) process.kill(this.pid, 'SIGKILL');
    rmSync(this.#folder, { recursive: true });
  }
}
