/** Faults of rings of events: full, with readers that are away, with senders that die. Nothing is lost but what is counted. */
import assert from 'node:assert/strict';
import { readdirSync, statfsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { RunningRemora, remora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE, EnteredTarget } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile, objectPath } from '../support/objects.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';

/** How long a target sends in one go, in milliseconds. */
const SPELL = repetitions(200, 60_000);

/** Mount namespaces are root's. */
const NOT_ROOT = process.getuid?.() === 0 ? false : 'only root may mount';

const taken = (object: BpfObject): number => object.map('samples').events!.consume(() => {});

/** Both threads send without end for a while, and `meanwhile` is done. @returns how many events were read by it */
async function sending(calls: CallsTarget, meanwhile: () => Promise<number>): Promise<number> {
  calls.start();
  const count = await meanwhile();
  calls.stop();
  return count;
}

/** The `data` of a stats line. */
interface Stats {
  readonly links: readonly { readonly hits: number }[];
  readonly lost_events: number;
}

describe('rings of events', { skip: CANNOT_TRACE }, () => {
  it('J1: a ring that is full for long loses what it counts, and nothing else', async () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const link = object.program('on_sample').attachUprobe(target, 'calls:work');
    const { events } = object.map('samples');
    let seen = 0;
    for (let round = 0; round < 10; round++) {
      seen += await sending(calls, async () => {
        const { lost } = events!;
        do await sleep(SPELL);
        while (events!.lost === lost);
        return taken(object);
      });
    }
    seen += taken(object);
    assert.equal(BigInt(seen) + events!.lost, link.hits);
    assert.equal(link.missed, 0n);
    assert.equal(calls.wrong, 0n);
  });

  it('J1: two senders and a reader that keeps reading: each event is read once, or counted', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const functions = ['work', 'work_push', 'work_nops', 'work_keyed'];
    const links = functions.map((name) => object.program('on_sample').attachUprobe(target, `calls:${name}`));
    const wanted = repetitions(1_000_000, 1_000_000_000);
    let seen = 0;
    calls.start();
    while (seen < wanted) seen += taken(object);
    calls.stop();
    seen += taken(object);
    const hits = links.reduce((sum, link) => sum + link.hits, 0n);
    assert.equal(BigInt(seen) + object.lostEvents, hits);
    assert.equal(hits, 4n * calls.total);
    assert.equal(calls.wrong, 0n);
  });

  it('J6: a full /dev/shm is none of our business', { skip: NOT_ROOT }, () => {
    const crowd = compileTarget('crowd');
    const script =
      'mount -t tmpfs -o size=4k none /dev/shm && ! head -c 9999 /dev/zero >/dev/shm/full 2>&- && exec "$@"';
    using running = startTarget('/usr/bin/unshare', ['--mount', 'sh', '-c', script, 'sh', crowd, '1', '100']);
    using target = openProcess(running.pid);
    assert.equal(statfsSync(`/proc/${running.pid}/root/dev/shm`).bfree, 0);
    using object = openObject(objectFile('events'));
    const link = object.program('on_sample').attachUprobe(target, 'crowd:visit');
    const go = target.findModule(crowd);
    target.memory.write(go.bias + go.elf.findSymbol('go')!.value, Uint8Array.of(1, 0, 0, 0));
    let seen = 0;
    waitUntil('all are there', () => {
      seen += taken(object);
      return seen >= 100;
    });
    link.detach();
    seen += taken(object);
    assert.equal(BigInt(seen) + object.lostEvents, link.hits);
    assert.deepEqual(readdirSync(`/proc/${running.pid}/root/dev/shm`), ['full']);
  });

  it('J7: a reader that stops reading and comes back finds what there was room for', async () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const link = object.program('on_sample').attachUprobe(target, 'calls:work');
    let seen = 0;
    for (let round = 0; round < 3; round++) {
      seen += await sending(calls, async () => {
        let count = 0;
        const end = performance.now() + SPELL;
        while (performance.now() < end) {
          count += taken(object);
          await sleep(1);
        }
        await sleep(SPELL / 2);
        return count + taken(object);
      });
    }
    seen += taken(object);
    assert.equal(BigInt(seen) + object.lostEvents, link.hits);
  });

  it('J7: a controller that is killed while it reads is followed by another that reads', async () => {
    using calls = new CallsTarget(2);
    const code = codeHashes(calls.pid);
    const places = ['on_reserve', 'on_output', 'on_odd'].flatMap((name) => ['--attach', `${name}=uprobe:calls:main`]);
    const first = new RunningRemora([
      ...['load', objectPath('events'), '-p', `${calls.pid}`, '--json', '--attach', 'on_sample=uprobe:calls:work'],
      ...places,
    ]);
    await first.says(/"attached"/);
    calls.start();
    await first.says(/"event"/);
    await first.end('SIGKILL');
    // Nobody reads: the target goes on as if nothing were there.
    const before = calls.total;
    calls.stop();
    assert.ok(calls.total > before);
    assert.equal((await remora(['detach', '--all', '-p', `${calls.pid}`])).code, 0);
    assert.deepEqual(codeHashes(calls.pid), code);

    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const link = object.program('on_sample').attachUprobe(target, 'calls:work');
    calls.call(1000);
    assert.equal(taken(object), 2000);
    assert.equal(link.hits, 2000n);
    assert.equal(object.lostEvents, 0n);
    assert.equal(calls.wrong, 0n);
  });

  it('J8: a reader that was suspended goes on where it was', async () => {
    using calls = new CallsTarget(2);
    const places = ['on_reserve', 'on_output', 'on_odd'].flatMap((name) => ['--attach', `${name}=uprobe:calls:main`]);
    const reader = new RunningRemora([
      ...['load', objectPath('events'), '-p', `${calls.pid}`, '--json', '--attach', 'on_sample=uprobe:calls:work'],
      ...places,
    ]);
    await reader.says(/"attached"/);
    calls.call(100);
    await reader.says(/"event"/);
    reader.child.kill('SIGSTOP');
    calls.call(50_000);
    reader.child.kill('SIGCONT');
    calls.call(100);
    const { stdout } = await reader.end('SIGINT');
    const told = stdout.match(/^\{"type":"event"/gm)!.length;
    const stats = stdout.split('\n').find((line) => line.startsWith('{"type":"stats"'));
    const { links, lost_events } = (JSON.parse(stats!) as { readonly data: Stats }).data;
    assert.equal(Math.max(...links.map(({ hits }) => hits)), 100_400);
    assert.equal(told + lost_events, 100_400);
  });

  it('B7: children killed between beginning a record and finishing it hold up nobody for long', async () => {
    using target = new EnteredTarget('killed');
    using object = openObject(objectFile('events'));
    const link = object.program('on_reserve').attachUprobe(target.process, `${target.module.name}:work`);
    const events = object.map('events').events!;
    const rounds = repetitions(20, 2000);
    let seen = 0;
    let fromParent = 0;
    const count = (bytes: Uint8Array, at: number): void => {
      seen++;
      // The parent's calls have numbers of their own.
      if (new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(8, true) === target.pid) fromParent++;
    };
    for (let round = 1; round <= rounds; round++) {
      target.set('go', round);
      while (target.counter('calls') < BigInt(round)) {
        events.consume(count);
        await sleep(0);
      }
      process.kill(Number(target.counter('child')), 'SIGKILL');
    }
    // Once all are dead every record that was finished is read, those of the parent among them.
    const end = performance.now() + 20_000;
    for (let quiet = 0; quiet < 100; quiet = events.consume(count) === 0 ? quiet + 1 : 0) {
      assert.ok(performance.now() < end, 'records come to an end');
      await sleep(2);
    }
    assert.ok(link.hits > BigInt(seen));
    // There is room now, and only the parent to send first.
    const before = fromParent;
    target.set('go', rounds + 1);
    while (target.counter('calls') <= BigInt(rounds)) await sleep(1);
    events.consume(count);
    assert.equal(fromParent, before + 1);
    process.kill(Number(target.counter('child')), 'SIGKILL');
    assert.ok(target.process.isAlive());
  });
});
