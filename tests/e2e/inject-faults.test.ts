/** `remora inject` and what it is made of: exactly the calls fail that were asked for, and the counts say so. */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { planFaults } from '../../src/cli/fault-rule.ts';
import { type FaultCounts, faultCounts, openFaults, openProcess } from '../../src/index.ts';
import { jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { FailingTarget, TRIES } from '../support/failing-target.ts';

const { ENOENT, EIO, EAGAIN } = constants.errno;

/** Has calls of the target fail by rules for as long as `body` runs; then they do no longer. @returns the counts of each place */
function failing(rules: readonly string[], body: (target: FailingTarget) => void, seed = 1n): readonly FaultCounts[] {
  using target = new FailingTarget();
  const before = codeHashes(target.pid);
  using process = openProcess(target.pid);
  const counts: FaultCounts[] = [];
  {
    using object = openFaults(planFaults(rules), seed);
    const { links } = object.attachAll(process);
    body(target);
    links.forEach(({ hits, missed }, n) => {
      const counted = faultCounts(object.map('faults'), n);
      assert.deepEqual([counted.calls, missed], [hits, 0n]);
      counts.push(counted);
    });
  }
  assert.ok(target.run('open').every((error) => error === 0));
  assert.ok(target.run('answer').every((answer) => answer === 42));
  assert.deepEqual(codeHashes(target.pid), before);
  return counts;
}

const tries = Array.from({ length: TRIES }, (_, n) => n + 1);

describe('faults', { skip: CANNOT_TRACE }, () => {
  for (const [when, isMeant] of [
    ['', () => true],
    [':when=1', (n) => n === 1],
    [':when=3', (n) => n === 3],
    [':when=3+', (n) => n >= 3],
    [':when=3+2', (n) => n >= 3 && n % 2 === 1],
    [':when=2..6', (n) => n >= 2 && n <= 6],
    [':when=2..9+3', (n) => n === 2 || n === 5 || n === 8],
    [':when=20', (n) => n === 20],
    [':when=21+', () => false],
  ] as const satisfies readonly (readonly [string, (n: number) => boolean])[]) {
    it(`come at the calls that are meant: openat:error=ENOENT${when}`, () => {
      const [counted] = failing([`openat:error=ENOENT${when}`], (target) => {
        assert.deepEqual(
          target.run('open'),
          tries.map((n) => (isMeant(n) ? ENOENT : 0)),
        );
      });
      assert.deepEqual(counted, { calls: BigInt(TRIES), injected: BigInt(tries.filter(isMeant).length) });
    });
  }

  it('come where the number is known only at run time, and several at once; of two for one call the last counts', () => {
    const rules = [
      'openat,getppid:error=EIO:when=2',
      'failing:answer:return=-7:when=4+4',
      'getppid:error=11:when=5..6',
    ];
    const counts = failing(rules, (target) => {
      assert.deepEqual(
        target.run('getppid'),
        tries.map((n) => (n === 5 || n === 6 ? EAGAIN : 0)),
      );
      assert.deepEqual(
        target.run('open'),
        tries.map((n) => (n === 2 ? EIO : 0)),
      );
      assert.deepEqual(
        target.run('answer'),
        tries.map((n) => (n % 4 === 0 ? -7 : 42)),
      );
    });
    assert.deepEqual(
      counts.map(({ injected }) => injected),
      [1n, 5n, 2n],
    );
  });

  it('count calls in all threads together', () => {
    const [counted] = failing(['getppid:error=EAGAIN:when=1001..2000+2'], (target) => {
      target.run('threads');
      assert.equal(target.failed, 500);
    });
    assert.deepEqual(counted, { calls: 4000n, injected: 500n });
  });

  it('by chance are the same with the same seed, others with another, and about as many as asked for', () => {
    const which = (seed: bigint): readonly number[] => {
      let errors: readonly number[] = [];
      const rule = 'getppid:error=EAGAIN:percent=30';
      const [counted] = failing(
        [rule],
        (target) => {
          errors = Array.from({ length: 10 }, () => target.run('getppid')).flat();
        },
        seed,
      );
      assert.equal(counted!.injected, BigInt(errors.filter((error) => error === EAGAIN).length));
      return errors;
    };
    const first = which(7n);
    assert.deepEqual(which(7n), first);
    assert.notDeepEqual(which(8n), first);
    const failed = first.filter((error) => error === EAGAIN).length;
    assert.ok(failed > 30 && failed < 90, `${failed} of ${first.length}`);
  });
});

describe('remora inject', { skip: CANNOT_TRACE }, () => {
  it('says how many calls there were and how many failed, and leaves nothing behind', async () => {
    using target = new FailingTarget();
    const before = codeHashes(target.pid);
    const rules = ['openat:error=ENOENT:when=3+2', '%net,getppid:error=EIO', 'failing:answer:return=0:percent=100'];
    const running = new RunningRemora(['inject', '-p', String(target.pid), ...rules, '--json']);
    await running.says(/"attached"/);
    assert.equal(target.run('open').filter((error) => error === ENOENT).length, 9);
    assert.ok(target.run('getppid').every((error) => error === EIO));
    assert.ok(target.run('answer').every((answer) => answer === 0));
    const { code, stdout } = await running.end('SIGINT');
    assert.equal(code, 0);
    const lines = jsonLines(stdout) as { type: string; data: Record<string, unknown> }[];
    assert.deepEqual(
      lines.map(({ type }) => type),
      ['attached', 'stats', 'detached'],
    );
    const links = lines[1]!.data.links as { hits: number; injected: number; missed: number; rule: string }[];
    const counted = links.filter(({ hits }) => hits > 0).map(({ rule, hits, injected }) => [rule, hits, injected]);
    assert.deepEqual(counted, [
      [rules[0], 20, 9],
      [rules[1], 20, 20],
      [rules[2], 20, 20],
    ]);
    assert.deepEqual(lines[2]!.data.restored, true);
    assert.deepEqual(codeHashes(target.pid), before);
  });

  it('prints a table, and the seed of what came by chance', async () => {
    using target = new FailingTarget();
    const rules = ['getppid:error=EIO:when=2..5', 'openat:retval=0x7:percent=0.5'];
    const running = new RunningRemora(['inject', '-p', String(target.pid), ...rules, '--seed', '42']);
    await running.says(/Ctrl-C ends/);
    target.run('getppid');
    const { code, stdout } = await running.end('SIGINT');
    assert.equal(code, 0);
    assert.match(stdout, /^call +fault +calls +injected +missed$/m);
    assert.match(stdout, /^getppid +getppid:error=EIO:when=2\.\.5 +20 +4 +0$/m);
    assert.match(stdout, /--seed 42$/m);
  });

  it('refuses what it does not know with what to do, and touches nothing', async () => {
    using target = new FailingTarget();
    for (const [rule, code, message] of [
      ['opennat:error=EIO', 4, /'opennat'[\s\S]*did you mean 'openat'/],
      ['libc:mallocc:return=0', 4, /mallocc[\s\S]*malloc/],
    ] as const) {
      const result = await remora(['inject', '-p', String(target.pid), rule]);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, message);
      assert.equal(result.stdout, '');
    }
  });
});
