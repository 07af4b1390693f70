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
    ['a kind of a later version', ['usdt:libc:*'], 5, /this version/],
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

  it('says that a function is not there, with exit code 4', async () => {
    const { code, stderr } = await explain('tiny:tiny_d');
    assert.equal(code, 4);
    assert.match(stderr, /did you mean/);
  });
});
