/** One object attached to several processes: its maps are the same memory in all of them, and nothing else is. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type MapEntry, openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { waitUntil } from '../support/targets.ts';

const COUNT = join(ROOT, 'tests/objects/clang-19/count.bpf.o');
const PLACE = ['--attach', 'on_call=uprobe:calls:work'];

interface Line {
  readonly type: string;
  readonly data: { readonly pid: number; readonly links: readonly { readonly id: number }[] };
  readonly entries?: unknown;
}

describe('one object in several processes', { skip: CANNOT_TRACE }, () => {
  let targets: readonly CallsTarget[];
  const pids = (): string[] => targets.flatMap(({ pid }) => ['-p', `${pid}`]);

  before(() => {
    targets = [1, 2, 4].map((threads) => new CallsTarget(threads));
  });
  after(() => {
    for (const target of targets) {
      assert.equal(target.wrong, 0n);
      target[Symbol.dispose]();
    }
  });

  it('shares its maps, counts each link by itself, and leaves each process as it was', () => {
    using object = openObject(objectFile('count'));
    const entered = targets.map(({ pid }) => openProcess(pid));
    const before = entered.map(footprint);
    const links = entered.map((target) => object.program('on_call').attachUprobe(target, 'calls:work'));
    for (const target of targets) target.call(1000);
    assert.deepEqual(
      links.map(({ hits }) => hits),
      [1000n, 2000n, 4000n],
    );
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 7000 }]);
    object.leave(entered[0]!);
    for (const target of targets) target.call(10);
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 7060 }]);
    assert.deepEqual(footprint(entered[0]!), before[0]);
    object[Symbol.dispose]();
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 7060 }]);
    assert.deepEqual(entered.map(footprint), before);
    for (const target of entered) target[Symbol.dispose]();
  });

  it('keeps threads apart that have the same thread pointer in different processes', () => {
    const twins = [1, 1].map(() => new CallsTarget(1, ['setarch', '-R']));
    using object = openObject(objectFile('percpu'));
    const entered = twins.map(({ pid }) => openProcess(pid));
    for (const target of entered) object.program('on_visit').attachUprobe(target, 'calls:work');
    for (const twin of twins) twin.start();
    waitUntil('they have worked for a while', () => Number(object.map('counts').entries()[0]!.value) > 500_000);
    for (const twin of twins) twin.stop();
    object.detachAll();
    const [{ value, values }] = object.map('counts').entries() as [MapEntry];
    assert.equal(
      BigInt(value as number),
      twins.reduce((sum, { total }) => sum + total, 0n),
    );
    assert.equal(values!.length, 2, 'each process has a slot of its own');
    for (const target of entered) target[Symbol.dispose]();
    for (const twin of twins) twin[Symbol.dispose]();
  });

  it('keeps its maps when the process goes that it was attached to first', () => {
    using object = openObject(objectFile('count'));
    using first = new CallsTarget(1);
    const entered = [first, targets[0]!].map(({ pid }) => openProcess(pid));
    const links = entered.map((target) => object.program('on_call').attachUprobe(target, 'calls:work'));
    first.call(5);
    first.target.stop();
    entered[0]![Symbol.dispose]();
    targets[0]!.call(7);
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 12 }]);
    assert.deepEqual(
      links.map(({ hits }) => hits),
      [5n, 7n],
    );
    entered[1]![Symbol.dispose]();
    // Nobody has it now; the next one finds its maps as they were.
    using again = openProcess(targets[1]!.pid);
    object.program('on_call').attachUprobe(again, 'calls:work');
    targets[1]!.call(10);
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 32 }]);
  });

  it('load: -p for each, a line attached and a line detached for each, the maps once', async () => {
    const session = new RunningRemora(['load', COUNT, ...PLACE, ...pids(), '--json']);
    await session.says(new RegExp(`"attached".*\\b${targets[2]!.pid}\\b`));
    for (const target of targets) target.call(100);
    const { code, stdout } = await session.end('SIGINT');
    assert.equal(code, 0);
    const lines = jsonLines(stdout) as Line[];
    const of = (type: string): Line[] => lines.filter((line) => line.type === type);
    assert.deepEqual(
      lines.map(({ type }) => type),
      ['attached', 'attached', 'attached', 'map', 'stats', 'detached', 'detached', 'detached'],
    );
    assert.deepEqual(
      of('attached').map(({ data }) => [data.pid, data.links.map(({ id }) => id)]),
      targets.map(({ pid }, n) => [pid, [n + 1]]),
    );
    assert.deepEqual(of('map')[0]!.entries, [{ key: 0, value: 700 }]);
    assert.deepEqual(of('stats')[0]!.data, {
      links: [100, 200, 400].map((hits, n) => ({ id: n + 1, hits, missed: 0 })),
      lost_events: 0,
    });
    assert.deepEqual(
      of('detached').map(({ data }) => data),
      targets.map(({ pid }) => ({ pid, links: 1, restored: true })),
    );
  });

  it('load: what one of them refuses is attached to none', async () => {
    const entered = targets.map(({ pid }) => openProcess(pid));
    const before = entered.map(footprint);
    const { code, stdout, stderr } = await remora(['load', COUNT, ...PLACE, ...pids(), '-p', `${process.pid}`]);
    assert.equal(code, 4, stderr);
    assert.equal(stdout, '');
    assert.deepEqual(entered.map(footprint), before);
    for (const target of entered) target[Symbol.dispose]();
  });

  it('load: one that ends does not end the others', async () => {
    using doomed = new CallsTarget(1);
    const session = new RunningRemora(['load', COUNT, ...PLACE, '-p', `${doomed.pid}`, ...pids(), '--json', '-q']);
    await session.says(new RegExp(`"attached".*\\b${targets[2]!.pid}\\b`));
    doomed.call(3);
    doomed.target.stop();
    targets[2]!.call(1);
    const { code, stdout } = await session.end('SIGINT');
    assert.equal(code, 0);
    const lines = jsonLines(stdout) as Line[];
    assert.deepEqual(lines.find(({ type }) => type === 'map')!.entries, [{ key: 0, value: 7 }]);
    assert.deepEqual(
      lines.filter(({ type }) => type === 'detached').map(({ data }) => (data as { restored?: boolean }).restored),
      [false, true, true, true],
    );
  });
});
