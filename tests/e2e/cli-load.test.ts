/** `remora load` from outside, on a C program that makes exactly as many calls as it is told. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CallsTarget } from '../support/calls-target.ts';
import { jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { ROOT } from '../support/root.ts';

const object = (name: string): string => join(ROOT, 'tests/objects/clang-19', `${name}.bpf.o`);
const COUNT = [object('count'), '--attach', 'on_call=uprobe:calls:work'];
const REALLOC_PRINTS = [object('programs'), '--attach', 'on_realloc=uprobe:calls:work'];

/** The links and address of the `attached` line. */
interface AttachedLine {
  readonly data: { readonly links: readonly { readonly address: string }[]; readonly pause_us: number };
}

describe('remora load', { skip: CANNOT_TRACE }, () => {
  let folder: string;
  let calls: CallsTarget;
  let pid: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-load-'));
    calls = new CallsTarget(1);
    pid = `${calls.pid}`;
  });
  after(() => {
    assert.equal(calls.wrong, 0n, 'wrong results in the target');
    calls[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });

  it('counts exactly, tells it in JSON lines to the letter, and leaves the code as it was', async () => {
    const code = codeHashes(calls.pid);
    const session = new RunningRemora(['load', ...COUNT, '-p', pid, '--json']);
    await session.says(/"attached"/);
    calls.call(12_345);
    const result = await session.end('SIGINT');
    const [attached, ...rest] = jsonLines(result.stdout) as [AttachedLine, ...unknown[]];
    const { address } = attached.data.links[0]!;
    const { pause_us } = attached.data;
    assert.match(address, /^0x[0-9a-f]+$/);
    assert.ok(pause_us > 0 && Number.isInteger(pause_us), `pause_us is ${pause_us}`);
    assert.deepEqual(attached, {
      type: 'attached',
      data: {
        pid: calls.pid,
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
      { type: 'detached', data: { pid: calls.pid, links: 1, restored: true } },
    ]);
    assert.equal(result.code, 0);
    assert.deepEqual(codeHashes(calls.pid), code);
  });

  it('tells people the same in tables', async () => {
    const session = new RunningRemora(['load', ...COUNT, '-p', pid]);
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
    const session = new RunningRemora(['load', ...REALLOC_PRINTS, '-p', pid, '--json']);
    await session.says(/"attached"/);
    const made = Number(calls.total);
    calls.call(2);
    await session.says(/(?:"printk".*){4}/s);
    const { stdout } = await session.end('SIGTERM');
    const lines = jsonLines(stdout) as { readonly type: string; readonly data: unknown }[];
    const address = (lines[0] as AttachedLine).data.links.at(-1)!.address.slice(2);
    assert.deepEqual(
      lines.filter(({ type }) => type === 'printk').map(({ data }) => data),
      // The calls are work(a, a + 1), and a counts up.
      [made, made + 1].flatMap((a) => [`realloc(${a.toString(16)}, ${(a + 1) % 256})`, `func ip ${address} cookie 0`]),
    );
  });

  for (const [why, signals] of [
    ['SIGINT', ['SIGINT']],
    ['a second SIGINT on top', ['SIGINT', 'SIGINT']],
    ['SIGTERM', ['SIGTERM']],
    ['SIGHUP', ['SIGHUP']],
  ] as const) {
    it(`detaches on ${why} and exits with 0`, async () => {
      const session = new RunningRemora(['load', ...COUNT, '-p', pid, '--json']);
      await session.says(/"attached"/);
      const { code, stdout } = await session.end(...signals);
      assert.match(stdout, /"restored":true}}\n$/);
      assert.equal(code, 0);
    });
  }

  it('ends after --duration', async () => {
    const { code, stdout } = await remora(['load', ...COUNT, '-p', pid, '--json', '--duration', '100ms']);
    assert.match(stdout, /"restored":true}}\n$/);
    assert.equal(code, 0);
  });

  it('detaches when nobody reads its output any more', async () => {
    const session = new RunningRemora(['load', ...REALLOC_PRINTS, '-p', pid, '--json']);
    await session.says(/"attached"/);
    session.child.stdout.destroy();
    calls.call(1);
    const { code } = await session.end();
    assert.equal(code, 0);
    // Attaching refuses code that is patched already.
    assert.equal((await remora(['load', ...COUNT, '-p', pid, '-q', '--duration', '1ms'])).code, 0);
  });

  it('writes data to -o FILE, and with -q nothing else anywhere', async () => {
    const file = join(folder, 'data');
    const result = await remora(['load', ...COUNT, '-p', pid, '-o', file, '-q', '--json', '--duration', '50ms']);
    assert.deepEqual(result, { code: 0, stdout: '', stderr: '' });
    assert.equal(jsonLines(readFileSync(file, 'utf8')).length, 4);
  });

  it('ends with its target, and says that nothing was put back', async () => {
    using short = new CallsTarget(1);
    const session = new RunningRemora(['load', ...COUNT, '-p', `${short.pid}`, '--json']);
    await session.says(/"attached"/);
    short.call(3);
    short.target.stop();
    const { code, stdout } = await session.end();
    const lines = jsonLines(stdout);
    assert.deepEqual(lines.slice(1), [
      { type: 'map', name: 'counts', map_type: 'array', entries: [{ key: 0, value: 3 }] },
      { type: 'stats', data: { links: [{ id: 1, hits: 3, missed: 0 }], lost_events: 0 } },
      { type: 'detached', data: { pid: short.pid, links: 1, restored: false } },
    ]);
    assert.equal(code, 0);
  });

  it('tells what was counted even if the code cannot be put back', async () => {
    using other = new CallsTarget(1);
    const session = new RunningRemora(['load', ...COUNT, '-p', `${other.pid}`, '--json']);
    await session.says(/"attached"/);
    other.call(3);
    const [attached] = jsonLines(session.stdout) as [AttachedLine];
    const memory = openSync(`/proc/${other.pid}/mem`, 'r+');
    writeSync(memory, Uint8Array.of(0xcc), 0, 1, Number(attached.data.links[0]!.address));
    closeSync(memory);
    const { code, stdout, stderr } = await session.end('SIGINT');
    assert.deepEqual(jsonLines(stdout).slice(1), [
      { type: 'map', name: 'counts', map_type: 'array', entries: [{ key: 0, value: 3 }] },
      { type: 'stats', data: { links: [{ id: 1, hits: 3, missed: 0 }], lost_events: 0 } },
      { type: 'detached', data: { pid: other.pid, links: 1, restored: false } },
    ]);
    assert.match(stderr, /^error: cannot .*\nwhy: /m);
    assert.equal(code, 1);
  });

  it('loads of an object what is for processes, and says what else there is', async () => {
    const run = (...options: string[]) => remora(['load', object('mixed'), '-p', pid, '--duration', '1ms', ...options]);
    const { code, stdout, stderr } = await run();
    assert.equal(code, 0);
    assert.match(stdout, /^on_work +calls:work +0 +0$/m);
    assert.deepEqual(stderr.match(/(?<=^note: )left out: .*$/gm)?.sort(), [
      'left out: on_exit (kprobe/do_exit): it runs in the kernel only',
      'left out: on_exit_code (fentry/do_exit): it runs in the kernel only',
      'left out: on_push (uprobe/calls:work_push): its section begins with `?`: it is loaded if it is asked for',
    ]);
    const other = await run('--skip', 'on_work', '--attach', 'on_exit=uprobe:calls:twice', '-q');
    assert.match(other.stdout, /^on_exit +calls:twice +0 +0$/m);
    assert.deepEqual([other.code, other.stderr], [0, '']);
  });

  it('attaches what has a place, beside what tools give one, and says which sizes of maps are not from the object', async () => {
    const run = (...options: string[]) =>
      remora(['load', object('left-to-tools'), '-p', pid, '--duration', '1ms', ...options]);
    const { code, stdout, stderr } = await run();
    assert.equal(code, 0);
    assert.match(stdout, /^on_work +calls:work +0 +0$/m);
    assert.deepEqual(stderr.match(/(?<=^note: )(?:left out|map).*$/gm), [
      'left out: on_anything (uprobe): neither its section nor an option says where',
      'left out: on_return (uretprobe/work_returns): neither its section nor an option says where',
      'map stacks says no value_size: it is 1016, as is usual',
      'map stacks says no max_entries: it is 16384, as is usual',
      'map events says no max_entries: it is 262144, as is usual',
    ]);
    const places = ['--attach', 'on_anything=uprobe:calls:twice', '--attach', 'on_return=uretprobe:calls:work'];
    const sizes = ['--max-entries', 'stacks=64', '--max-entries', 'events=4096'];
    const other = await run(...places, ...sizes);
    assert.match(other.stdout, /^on_return +calls:work +0 +0$/m);
    assert.doesNotMatch(other.stderr, /left out|max_entries/);
  });

  it('begins with the values of variables that it is told', async () => {
    const place = ['--attach', 'on_call=uprobe:calls:work'];
    const set = ['--set', 'threshold=0', '--set', 'label=other', '--set', 'total=70000000000', '--set', 'seen=-1'];
    const session = new RunningRemora(['load', object('data'), ...place, ...set, '-p', pid, '--json']);
    await session.says(/"attached"/);
    calls.call(3);
    const { stdout } = await session.end('SIGINT');
    const variables = jsonLines(stdout).flatMap((line) => {
      const { type, entries } = line as { type: string; entries?: { value: Record<string, unknown> }[] };
      return type === 'map' ? entries!.map(({ value }) => value) : [];
    });
    const { threshold, label, total, seen } = Object.assign({}, ...variables);
    assert.deepEqual([threshold, label, seen], [0, 'other', 2]);
    assert.ok(total >= 70_000_000_000, 'what is not below 0 is added up');
  });

  for (const [why, args, code, message] of [
    ['a variable that is not there', [object('data'), '--set', 'nothing=1'], 4, /^why: +it has threshold/m],
    ['a value that does not fit', [object('data'), '--set', 'threshold=many'], 2, /int of 4 bytes/],
    ['an object of which nothing is loaded', [object('mixed'), '--skip', 'on_work'], 5, /^why: .*it is not wanted$/m],
    ['to skip a program that is not there', [object('mixed'), '--skip', 'nope'], 4, /program nope/],
    ['a process that is not there', [object('count'), '-p', '4000000'], 4, /^error: cannot enter process 4000000/m],
    ['a library that is not mapped', [object('count'), '--attach', 'on_call=uprobe:libnone.so:f'], 4, /libnone\.so/],
    ['a function that is not there', [object('count'), '--attach', 'on_call=uprobe:calls:wrok'], 4, /wrok/],
    ['a program that is not there', [object('count'), '--attach', 'nope=uprobe:calls:work'], 4, /program nope/],
    ['a program without a place', [object('count')], 2, /^fix: .*--attach on_call=uprobe:BINARY:FUNCTION$/m],
    ['a kind nothing serves', [object('count'), '--attach', 'on_call=kprobe:vfs_read'], 5, /kprobe/],
    ['an object that is none', [join(ROOT, 'package.json')], 2, /^error: cannot read ELF/m],
    ['an object that is not there', ['nope.bpf.o'], 2, /^error: cannot read nope.bpf.o: ENOENT$/m],
    ['a file it may not write', [...COUNT, '-o', '/nowhere/x'], 2, /^error: cannot write to \/nowhere\/x: ENOENT$/m],
  ] as const) {
    it(`refuses ${why} with exit code ${code}`, async () => {
      const own = args.some((arg) => arg === '4000000') ? [] : ['-p', pid];
      const result = await remora(['load', ...own, ...args]);
      assert.match(result.stderr, message);
      assert.deepEqual([result.code, result.stdout], [code, '']);
      calls.call(1);
    });
  }
});
