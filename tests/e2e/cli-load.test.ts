/** `remora load` from outside, on a C program that makes exactly as many calls as it is told. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type CliResult, jsonLines, remora, startRemora } from '../support/cli.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, waitUntil } from '../support/targets.ts';

const object = (name: string): string => join(ROOT, 'tests/objects/clang-19', `${name}.bpf.o`);
const COUNT = [object('count'), '--attach', 'on_call=uprobe:calls:work'];
const REALLOC_PRINTS = [object('programs'), '--attach', 'on_realloc=uprobe:calls:work'];

/** The program tests/targets/calls.c, running. */
class Calls {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #control: number;
  #steps = 0n;

  private constructor(child: ChildProcessWithoutNullStreams, control: number) {
    this.child = child;
    this.#control = control;
  }

  static async start(folder: string): Promise<Calls> {
    const path = join(folder, 'control');
    const control = openSync(path, 'w+');
    writeSync(control, new Uint8Array(4096));
    const child = spawn(compileTarget('calls'), [path, '1']);
    await once(child.stdout, 'data');
    return new Calls(child, control);
  }

  get pid(): string {
    return `${this.child.pid}`;
  }

  /** Has it call `work` and its like `count` times each, and waits until it has, without one wrong result. */
  call(count: number): void {
    this.#steps++;
    writeSync(this.#control, new BigUint64Array([BigInt(count)]), 0, 8, 8);
    writeSync(this.#control, new BigUint64Array([this.#steps]), 0, 8, 0);
    waitUntil('the calls are made', () => this.#word(2) === this.#steps);
    assert.equal(this.#word(3), 0n, 'wrong results in the target');
  }

  /** The first bytes of `work`, as they are in memory now. */
  code(address: string): string {
    const memory = openSync(`/proc/${this.pid}/mem`, 'r');
    const bytes = Buffer.alloc(16);
    readSync(memory, bytes, 0, bytes.length, Number(BigInt(address)));
    closeSync(memory);
    return bytes.toString('hex');
  }

  stop(): void {
    this.child.kill('SIGKILL');
    closeSync(this.#control);
  }

  #word(index: number): bigint {
    const word = new BigUint64Array(1);
    readSync(this.#control, word, 0, 8, index * 8);
    return word[0]!;
  }
}

/** A `remora load` under way. */
class Session {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #result: Promise<CliResult>;
  #stdout = '';
  #stderr = '';

  constructor(args: readonly string[]) {
    this.child = startRemora(['load', ...args]);
    this.child.stdout.on('data', (data) => {
      this.#stdout += data;
    });
    this.child.stderr.on('data', (data) => {
      this.#stderr += data;
    });
    this.#result = once(this.child, 'close').then(([code]) => ({ code, stdout: this.#stdout, stderr: this.#stderr }));
  }

  /** Waits until standard output or standard error matches. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#stdout) && !pattern.test(this.#stderr)) {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.#stderr}`);
      await Promise.race([once(this.child.stdout, 'data'), once(this.child.stderr, 'data'), once(this.child, 'close')]);
    }
  }

  /** Sends signals, and waits for the end. */
  async end(...signals: readonly NodeJS.Signals[]): Promise<CliResult> {
    for (const signal of signals) this.child.kill(signal);
    return this.#result;
  }
}

/** The links and address of the `attached` line. */
interface AttachedLine {
  readonly data: { readonly links: readonly { readonly address: string }[]; readonly pause_us: number };
}

describe('remora load', () => {
  let folder: string;
  let calls: Calls;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'remora-load-'));
    calls = await Calls.start(folder);
  });
  after(() => {
    calls.stop();
    rmSync(folder, { recursive: true });
  });

  it('counts exactly, tells it in JSON lines to the letter, and leaves the code as it was', async () => {
    const session = new Session([...COUNT, '-p', calls.pid, '--json']);
    await session.says(/"attached"/);
    calls.call(12_345);
    const { code, stdout, stderr } = await session.end('SIGINT');
    const [attached, ...rest] = jsonLines(stdout) as [AttachedLine, ...unknown[]];
    const { address } = attached.data.links[0]!;
    const { pause_us } = attached.data;
    const pid = Number(calls.pid);
    assert.match(address, /^0x[0-9a-f]+$/);
    assert.ok(pause_us > 0 && Number.isInteger(pause_us), `pause_us is ${pause_us}`);
    assert.deepEqual(attached, {
      type: 'attached',
      data: {
        pid,
        links: [
          {
            id: 1,
            program: 'on_call',
            section: 'uprobe',
            kind: 'uprobe',
            target: 'calls:work',
            address,
            method: 'jump',
          },
        ],
        pause_us,
      },
    });
    assert.deepEqual(rest, [
      { type: 'map', name: 'counts', map_type: 'array', entries: [{ key: 0, value: 12_345 }] },
      { type: 'stats', data: { links: [{ id: 1, hits: 12_345, missed: 0 }], lost_events: 0 } },
      { type: 'detached', data: { pid, links: 1, restored: true } },
    ]);
    assert.match(stderr, /structural check/);
    assert.equal(code, 0);
    // lea or add of `a * 2 + b`, whatever the compiler chose: no jump.
    assert.doesNotMatch(calls.code(address), /^(f30f1efa)?e9/);
    calls.call(10);
  });

  it('tells people the same in tables', async () => {
    const session = new Session([...COUNT, '-p', calls.pid]);
    await session.says(/attached 1 program/);
    calls.call(7);
    const { code, stdout, stderr } = await session.end('SIGINT');
    assert.equal(
      stdout,
      [
        '',
        'counts (array)',
        '  key  value',
        '    0      7',
        '',
        'program  target      hits  missed',
        'on_call  calls:work     7       0',
        'lost events: 0',
        '',
      ].join('\n'),
    );
    assert.match(stderr, /which paused for \d+(\.\d)? (us|ms)/);
    assert.match(stderr, /detached 1 program from \d+: its code is what it was\n$/);
    assert.equal(code, 0);
  });

  it('prints what programs print, as it comes', async () => {
    const session = new Session([...REALLOC_PRINTS, '-p', calls.pid, '--json']);
    await session.says(/"attached"/);
    calls.call(2);
    await session.says(/(?:"printk".*){4}/s);
    const { stdout } = await session.end('SIGTERM');
    const printed = jsonLines(stdout).filter((line) => (line as { type: string }).type === 'printk');
    assert.equal(printed.length, 4);
    assert.match(JSON.stringify(printed[0]), /^{"type":"printk","data":"realloc\([0-9a-f]+, \d+\)"}$/);
  });

  for (const [why, signals] of [
    ['SIGINT', ['SIGINT']],
    ['a second SIGINT on top', ['SIGINT', 'SIGINT']],
    ['SIGTERM', ['SIGTERM']],
    ['SIGHUP', ['SIGHUP']],
  ] as const) {
    it(`detaches on ${why} and exits with 0`, async () => {
      const session = new Session([...COUNT, '-p', calls.pid, '--json']);
      await session.says(/"attached"/);
      const { code, stdout } = await session.end(...signals);
      assert.match(stdout, /"restored":true}}\n$/);
      assert.equal(code, 0);
    });
  }

  it('ends after --duration', async () => {
    const { code, stdout } = await remora(['load', ...COUNT, '-p', calls.pid, '--json', '--duration', '100ms']);
    assert.match(stdout, /"restored":true}}\n$/);
    assert.equal(code, 0);
  });

  it('detaches when nobody reads its output any more', async () => {
    const session = new Session([...REALLOC_PRINTS, '-p', calls.pid, '--json']);
    await session.says(/"attached"/);
    session.child.stdout.destroy();
    calls.call(1);
    const { code } = await session.end();
    assert.equal(code, 0);
    // Attaching refuses code that is patched already.
    assert.equal((await remora(['load', ...COUNT, '-p', calls.pid, '-q', '--duration', '1ms'])).code, 0);
  });

  it('writes data to -o FILE, and with -q nothing else anywhere', async () => {
    const file = join(folder, 'data');
    const result = await remora(['load', ...COUNT, '-p', calls.pid, '-o', file, '-q', '--json', '--duration', '50ms']);
    assert.deepEqual(result, { code: 0, stdout: '', stderr: '' });
    assert.equal(jsonLines(readFileSync(file, 'utf8')).length, 4);
  });

  it('ends with its target, and says that nothing was put back', async () => {
    const short = await Calls.start(mkdtempSync(join(folder, 'short-')));
    const session = new Session([...COUNT, '-p', short.pid, '--json']);
    await session.says(/"attached"/);
    short.call(3);
    short.stop();
    const { code, stdout } = await session.end();
    const lines = jsonLines(stdout);
    assert.deepEqual(lines.slice(1), [
      { type: 'map', name: 'counts', map_type: 'array', entries: [{ key: 0, value: 3 }] },
      { type: 'stats', data: { links: [{ id: 1, hits: 3, missed: 0 }], lost_events: 0 } },
      { type: 'detached', data: { pid: Number(short.pid), links: 1, restored: false } },
    ]);
    assert.equal(code, 0);
  });

  for (const [why, args, code, message] of [
    ['a process that is not there', [object('count'), '-p', '4000000'], 4, /^error: cannot enter process 4000000/m],
    ['a library that is not mapped', [object('count'), '--attach', 'on_call=uprobe:libnone.so:f'], 4, /libnone\.so/],
    ['a function that is not there', [object('count'), '--attach', 'on_call=uprobe:calls:wrok'], 4, /wrok/],
    ['a program that is not there', [object('count'), '--attach', 'nope=uprobe:calls:work'], 4, /program nope/],
    ['a program without a place', [object('count')], 2, /^fix: .*--attach on_call=uprobe:BINARY:FUNCTION$/m],
    ['a kind nothing serves', [object('count'), '--attach', 'on_call=kprobe:vfs_read'], 5, /kprobe/],
    ['two processes', [...COUNT, '-p', '1'], 5, /2 processes at once/],
    ['an object that is none', [join(ROOT, 'package.json')], 2, /^error: cannot read ELF/m],
    ['an object that is not there', ['nope.bpf.o'], 2, /^error: cannot read nope.bpf.o: ENOENT$/m],
    ['a file it may not write', [...COUNT, '-o', '/nowhere/x'], 2, /^error: cannot write to \/nowhere\/x: ENOENT$/m],
  ] as const) {
    it(`refuses ${why} with exit code ${code}`, async () => {
      const own = args.some((arg) => arg === '4000000') ? [] : ['-p', calls.pid];
      const result = await remora(['load', ...own, ...args]);
      assert.match(result.stderr, message);
      assert.deepEqual([result.code, result.stdout], [code, '']);
      calls.call(1);
    });
  }
});
