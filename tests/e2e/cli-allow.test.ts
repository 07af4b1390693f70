/** `remora load --allow`: programs that change the target need the user's word. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { jsonLines, remora, startRemora } from '../support/cli.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { OverriddenTarget } from '../support/overridden-target.ts';
import { ROOT } from '../support/root.ts';

const OBJECT = join(ROOT, 'tests/objects/clang-19/override.bpf.o');

describe('remora load of a program that changes the target', { skip: CANNOT_TRACE }, () => {
  it('is refused by default, with what to do', async () => {
    using target = new OverriddenTarget();
    const { code, stderr, stdout } = await remora(['load', OBJECT, '-p', String(target.pid), '--json']);
    assert.equal(code, 2);
    assert.match(stderr, /error: cannot attach on_combine: override was not allowed/);
    assert.match(stderr, /fix: .*--allow override/);
    assert.equal(stdout, '');
    assert.equal(target.call(0xabcen, 1n), (0xabcen << 32n) | 1n);
  });

  it('runs with --allow override, and says how it went', async () => {
    using target = new OverriddenTarget();
    const child = startRemora(['load', OBJECT, '-p', String(target.pid), '--json', '--allow', 'override']);
    let stdout = '';
    const attached = new Promise<void>((resolve) => {
      child.stdout.on('data', (data) => {
        stdout += data;
        if (stdout.includes('"attached"')) resolve();
      });
    });
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
    await attached;
    assert.deepEqual([target.call(0xabcen, 1n), target.call(2n, 1n)], [77n, (2n << 32n) | 1n]);
    child.kill('SIGINT');
    assert.equal(await closed, 0);
    const lines = jsonLines(stdout) as {
      type: string;
      data: { links?: { kind?: string; hits?: number; missed?: number }[] };
    }[];
    const linksOf = (type: string) => lines.find((line) => line.type === type)!.data.links!;
    assert.deepEqual(
      linksOf('attached').map(({ kind }) => kind),
      ['override', 'uretprobe'],
    );
    assert.deepEqual(
      linksOf('stats').map(({ hits, missed }) => [hits, missed]),
      [
        [2, 0],
        [2, 0],
      ],
    );
  });
});
