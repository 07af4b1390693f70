/** What `remora load` tells of events, to the letter. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CallsTarget } from '../support/calls-target.ts';
import { jsonLines, RunningRemora } from '../support/cli.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectPath } from '../support/objects.ts';

const OBJECT = objectPath('events');

/** All programs but the one that is at the function get a place where nobody calls. */
const attach = (program: string): string[] =>
  ['on_reserve', 'on_output', 'on_sample', 'on_odd'].flatMap((name) => [
    '--attach',
    `${name}=uprobe:calls:${name === program ? 'work' : 'main'}`,
  ]);

describe('remora load: events', { skip: CANNOT_TRACE }, () => {
  let calls: CallsTarget;
  before(() => {
    calls = new CallsTarget(1);
  });
  after(() => calls[Symbol.dispose]());

  it('are JSON lines as they come, typed; their maps have no line of their own', async () => {
    const session = new RunningRemora(['load', OBJECT, ...attach('on_sample'), '-p', `${calls.pid}`, '--json']);
    await session.says(/"attached"/);
    const first = Number(calls.total);
    calls.call(3);
    await session.says(/(?:"event".*){3}/s);
    calls.call(1);
    const { code, stdout } = await session.end('SIGINT');
    const lines = jsonLines(stdout) as { readonly type: string; readonly name?: string }[];
    assert.deepEqual(
      lines.filter(({ type }) => type === 'event'),
      [0, 1, 2, 3].map((n) => ({
        type: 'event',
        map: 'samples',
        data: { a: first + n, b: (first + n + 1) % 256 },
      })),
    );
    assert.deepEqual(
      lines.flatMap(({ type, name = '' }) => (type === 'map' && !name.startsWith('.') ? [name] : [])),
      ['facts'],
    );
    assert.equal(code, 0);
  });

  it('L5: are lines for people, and cannot steer their terminal; what found no room is counted', async () => {
    const session = new RunningRemora(['load', OBJECT, ...attach('on_reserve'), '-p', `${calls.pid}`]);
    await session.says(/attached 4 programs/);
    const first = Number(calls.total);
    calls.call(1);
    await session.says(/^events: /m);
    // No reader keeps up with that.
    calls.call(50_000);
    const { stdout } = await session.end('SIGINT');
    const [line] = stdout.split('\n');
    assert.match(line!, new RegExp(`^events: number=${first} tid=\\d+ name=work\\\\x1b\\[31m!$`));
    assert.ok(!stdout.includes('\x1b'));
    const lost = Number(/^lost events: (\d+)$/m.exec(stdout)?.[1]);
    const told = stdout.match(/^events: /gm)!.length;
    assert.ok(lost > 0);
    // Every fourth number is taken back by the program; one that found no room never got so far.
    assert.ok(told + lost <= 50_001);
    assert.ok(told + lost >= 37_500);
  });
});
