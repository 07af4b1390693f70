/**
 * Fault A10: every function of real binaries. First by analysis, tens of thousands of them; then for real, all functions
 * of libcrypto, libc, python3, node and bash in a live process in one stop, while it computes.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { SURVEYED, survey } from '../../benchmarks/survey.ts';
import { AttachError } from '../../src/attach/errors.ts';
import { UprobeSites } from '../../src/attach/uprobe/sites.ts';
import { SymbolType } from '../../src/elf/symbols.ts';
import { openProcess } from '../../src/index.ts';
import { Injection } from '../../src/inject/injection.ts';
import type { Module } from '../../src/process/module.ts';
import { codeHashes } from '../support/code-hash.ts';
import { countingProgram } from '../support/counting-program.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

/** What is hooked in which program: some 47,000 functions. The least that may be hooked of one of them alone. */
const HOOKED = [
  ['python3', 'libcrypto.so.3'],
  ['python3', 'libc.so.6'],
  ['python3', 'python3.11'],
  ['node', basename(process.execPath)],
  ['bash', 'bash'],
] as const;
const LEAST_OF_ONE = 0.98;

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

  for (const [program, binary] of HOOKED) {
    it(`A10: is hooked in ${binary}, all at once, while ${program} hashes`, {
      skip: program === 'python3' && !hasPython() && 'no python3 with libcrypto',
    }, () => {
      using hashing = new Hashing(program);
      const before = ofFiles(codeHashes(hashing.pid));
      const expected = hashing.round();
      using entered = openProcess(hashing.pid);
      const module = entered.findModule(binary);
      const functions = functionsOf(module);
      using injection = new Injection(entered);
      const { address } = injection.share(8 * functions.length);
      const sites = new UprobeSites(injection);
      const refused: string[] = [];
      const removals = injection.batch(() =>
        functions.flatMap((target, index) => {
          try {
            const located = sites.locate({ target, offset: 0 });
            return [sites.add(located, { program: countingProgram(address + BigInt(8 * index)) })];
          } catch (error) {
            if (!(error instanceof AttachError)) throw error;
            refused.push(`${target.name}: ${error.message}`);
            return [];
          }
        }),
      );
      assert.ok(removals.length >= functions.length * LEAST_OF_ONE, refused.join('\n'));
      for (let round = 0; round < 3; round++) assert.equal(hashing.round(), expected);
      const counts = new BigUint64Array(injection.shared.buffer, injection.shared.byteOffset, functions.length);
      const called = counts.filter((count) => count > 0n).length;
      assert.ok(called > 20, `only ${called} functions were called`);
      injection.batch(() => {
        for (const remove of removals) remove();
      });
      assert.equal(hashing.round(), expected);
      assert.ok(injection.release());
      assert.deepEqual(ofFiles(codeHashes(hashing.pid)), before);
    });
  }
});

/** What a program compiles as it runs is its own affair. */
function ofFiles(hashes: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(hashes).filter(([mapping]) => mapping.includes('/')));
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

/** Programs that compute digests for each line they are given. */
const COMMANDS = {
  python3: [
    '/usr/bin/python3',
    '-c',
    `
import hashlib, ssl, sys, json, zlib
print('ready', flush=True)
for line in sys.stdin:
    text = (line.strip() * 1000).encode()
    digests = [hashlib.new(name, text).hexdigest() for name in ('sha256', 'sha512', 'sha1', 'sha3_256', 'blake2b')]
    digests.append(hashlib.pbkdf2_hmac('sha256', text, b'salt', 100).hex())
    digests.append(hashlib.scrypt(text, salt=b'salt', n=64, r=2, p=1).hex())
    context = ssl.create_default_context()
    print(json.dumps([digests, len(context.get_ciphers())]), flush=True)
`,
  ],
  node: [
    process.execPath,
    '-e',
    `
const { createHash, pbkdf2Sync } = require('node:crypto');
console.log('ready');
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const text = line.repeat(1000);
  const digests = ['sha256', 'sha512', 'sha1'].map((name) => createHash(name).update(text).digest('hex'));
  digests.push(pbkdf2Sync(text, 'salt', 100, 32, 'sha256').toString('hex'));
  const words = Array.from({ length: 2000 }, (_, n) => String((n * 7919) % 2003)).sort().join();
  console.log(JSON.stringify([digests, words.length, words.match(/1[0-9]+/g).length]));
});
`,
  ],
  bash: [
    '/bin/bash',
    '-c',
    `
echo ready
while read -r line; do
  sum=0
  for ((i = 0; i < 500; i++)); do sum=$(((sum * 31 + i) % 65521)); done
  words=($line {a..e} "\${line^^}")
  echo "$sum \${words[*]/a/b} $(printf '%05d' $sum) \${#words[@]}"
done
`,
  ],
} as const;

/** One of them, driven through a pipe. */
class Hashing implements Disposable {
  readonly pid: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-hashing-'));
  readonly #input: number;
  #lines = 1;

  constructor(program: keyof typeof COMMANDS) {
    const [input, output] = [join(this.#folder, 'in'), join(this.#folder, 'out')];
    // Opened for reading and writing, so that neither side waits for the other.
    const script = 'mkfifo "$1"; in=$1; out=$2; shift 2; setsid "$@" <>"$in" >"$out" 2>&1 & echo $!';
    const { stdout } = spawnSync('sh', ['-c', script, 'sh', input, output, ...COMMANDS[program]], { encoding: 'utf8' });
    this.pid = Number.parseInt(stdout, 10);
    this.#input = openSync(input, 'r+');
    waitUntil(`${program} is ready`, () => this.#output.length === 2, 20_000);
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
