/** `remora list` and `remora explain` from outside. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { jsonLines, remora } from '../support/cli.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { compileTarget } from '../support/targets.ts';

describe('remora list', () => {
  const file = compileTarget('tiny');

  it('lists the functions of a file', async () => {
    const { code, stdout } = await remora(['list', `uprobe:${file}:tiny_*`]);
    assert.deepEqual([code, stdout], [0, ['a', 'b', 'c'].map((name) => `uprobe:${file}:tiny_${name}\n`).join('')]);
    assert.equal((await remora(['list', 'tiny_*', file])).stdout, stdout);
  });

  it('knows C++ names, and shows them with -v', async () => {
    const { stdout } = await remora(['list', 'ns::add*', file, '-v']);
    assert.match(stdout, /^uprobe:\S+:_ZN2ns3addEil {2}ns::add\(int, long\)$/m);
    assert.match(stdout, /^uprobe:\S+:_ZN2ns3addEd {2}ns::add\(double\)$/m);
  });

  it('prints JSON lines', async () => {
    const { stdout } = await remora(['list', 'ns::add(double)', file, '--json']);
    const [line] = jsonLines(stdout) as { address: string }[];
    assert.match(line!.address, /^0x[0-9a-f]+$/);
    assert.deepEqual(line, {
      type: 'probe',
      kind: 'uprobe',
      binary: file,
      symbol: '_ZN2ns3addEd',
      demangled: 'ns::add(double)',
      address: line!.address,
    });
  });

  it('lists static probes, with where their arguments are', async () => {
    const zoo = compileTarget('usdt');
    const { code, stdout } = await remora(['list', 'usdt:*', zoo]);
    assert.equal(code, 0);
    const names = stdout.split('\n').slice(0, -1);
    assert.ok(names.includes(`usdt:${zoo}:zoo:fed`), stdout);
    assert.ok(names.every((line) => line.startsWith(`usdt:${zoo}:zoo:`)));
    for (const pattern of [`usdt:${zoo}:zoo:fe?`, `usdt:${zoo}:fe?`]) {
      const probes = jsonLines((await remora(['list', pattern, '--json'])).stdout) as { address: string }[];
      assert.ok(probes.length > 0);
      for (const probe of probes) {
        assert.match(probe.address, /^0x[0-9a-f]+$/);
        const known = { type: 'probe', kind: 'usdt', binary: zoo, provider: 'zoo', name: 'fed' };
        assert.deepEqual({ ...probe, ...known }, probe);
        assert.match((probe as unknown as { arguments: string }).arguments, /@/);
      }
    }
    const wrong = await remora(['list', `usdt:${zoo}:zoo:fedd`]);
    assert.equal(wrong.code, 4);
    assert.match(wrong.stderr, /did you mean 'zoo:fed'/);
  });

  it('finds a library by its name alone', async () => {
    const { code, stdout } = await remora(['list', 'uprobe:libc:malloc']);
    assert.equal(code, 0);
    assert.match(stdout, /^uprobe:\/.*\/libc[^/]*:malloc\n$/);
  });

  for (const [why, args, code, message] of [
    ['a name that is not there', ['tiny_aa', file], 4, /did you mean 'tiny_a'/],
    ['a library that is not there', ['uprobe:libnothing:f'], 4, /cannot find 'libnothing'/],
    ['a place that is not said', ['uprobe:*:f'], 2, /-p PID/],
    ['a file that is none', ['f', '/nothing'], 2, /cannot read \/nothing: ENOENT/],
    ['a kind of a later version', ['uretprobe:libc:*'], 5, /this version/],
    ['both a file and a process', ['tiny_a', file, '-p', '1'], 2, /give one of them/],
    ['static probes of a file that has none', [`usdt:${file}:*`], 4, /there are no static probes/],
  ] as const) {
    it(`says what is wrong with ${why}`, async () => {
      const result = await remora(['list', ...args]);
      assert.equal(result.code, code);
      assert.match(result.stderr, message);
      assert.equal(result.stdout, '');
    });
  }
});

describe('remora list and explain with a process', { skip: CANNOT_TRACE }, () => {
  let target: EnteredTarget;
  before(() => {
    target = new EnteredTarget('tiny');
  });
  after(() => target[Symbol.dispose]());

  const explain = (...args: string[]) => remora(['explain', ...args, '-p', `${target.pid}`]);

  it('lists what all its files have', async () => {
    const { stdout } = await remora(['list', 'uprobe:*:tiny_?', '-p', `${target.pid}`]);
    assert.equal(stdout.split('\n').length - 1, 3);
  });

  it('explains how a function would be probed, without touching it', async () => {
    const before = footprint(target.process);
    const { code, stdout } = await explain('uprobe:tiny:tiny_a');
    assert.equal(code, 0);
    assert.match(stdout, /^uprobe:tiny:tiny_a\nat 0x[0-9a-f]+, a function of 7 bytes in \//);
    assert.match(stdout, /lea rax, \[rdi \+ 1\] +moves to the trampoline/);
    assert.match(stdout, /^method: jump: 5 bytes at 0x/m);
    assert.deepEqual(footprint(target.process), before);
  });

  it('explains as JSON', async () => {
    const { stdout } = await explain('tiny:tiny_a', '--json');
    const [site] = jsonLines(stdout) as { method: string; window: { bytes: string } }[];
    assert.equal(site!.method, 'jump');
    assert.equal(site!.window.bytes, '488d47016690');
  });

  it('says why a function would be refused, with exit code 5', async () => {
    const { code, stdout } = await explain('tiny:tiny_b');
    assert.equal(code, 5);
    assert.match(stdout, / ret$/m);
    assert.match(stdout, /^error: cannot attach to tiny_b: /m);
  });

  it('shows the way by padding where a function is short', async () => {
    const { code, stdout } = await explain('tiny:brief');
    assert.equal(code, 0);
    assert.match(stdout, /^method: short jump: 2 bytes at 0x[0-9a-f]+ become a jump to padding/m);
  });

  it('shows the instructions around a place inside', async () => {
    const { code, stdout } = await explain('tiny:tiny_a+4');
    assert.equal(code, 0);
    assert.match(stdout, /byte 4 of a function of 7 bytes/);
    assert.match(stdout, /^ .*lea rax.*moves to the trampoline$/m);
  });

  it('looks at several processes, past one that is not there', async () => {
    using other = new EnteredTarget('tiny');
    const pids = ['-p', `${target.pid}`, '-p', '999999999', '-p', `${other.pid}`];
    const listed = await remora(['list', 'uprobe:tiny:tiny_a', ...pids]);
    assert.equal(listed.code, 4);
    assert.match(listed.stderr, /999999999/);
    const lines = listed.stdout.split('\n').slice(0, -1);
    assert.deepEqual(
      lines.map((line) => line.replace(/:\S+:/, ':')),
      [target, other].map(({ pid }) => `${pid}  uprobe:tiny_a`),
    );
    const pidOf = (line: unknown) => (line as { pid: number }).pid;
    for (const args of [
      ['list', 'syscall:getpid'],
      ['explain', 'syscall:openat'],
    ]) {
      const { stdout } = await remora([...args, '--json', ...pids]);
      assert.deepEqual(jsonLines(stdout).map(pidOf), [target.pid, other.pid], args.join(' '));
    }
    const { code, stdout } = await remora(['explain', 'tiny:tiny_b', '-p', `${target.pid}`, '-p', `${other.pid}`]);
    assert.equal(code, 5);
    assert.deepEqual(stdout.match(/^process \d+$/gm), [`process ${target.pid}`, `process ${other.pid}`]);
  });

  it('says that a function is not there, with exit code 4', async () => {
    const { code, stderr } = await explain('tiny:tiny_d');
    assert.equal(code, 4);
    assert.match(stderr, /did you mean/);
  });
});
