/** Tail calls in live processes: threads and their signal handlers go on in other programs at once, and every step is counted. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject } from '../../src/index.ts';
import { jsonLines, remora } from '../support/cli.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile, objectPath } from '../support/objects.ts';

const THREADS = 8;
const SHARE = 1600;
/** Of a thread's visits, those with the same number modulo 8. */
const PART = BigInt((THREADS * SHARE) / 8);
const TAIL_CALLS = 33n;

/** What programs counted, in the order of tests/objects/tail-calls.bpf.c. */
function seen(object: BpfObject): bigint[] {
  return object
    .map('seen')
    .entries()
    .map(({ value }) => BigInt(value as number));
}

describe('tail calls', { skip: CANNOT_TRACE }, () => {
  for (const compiler of COMPILERS) {
    it(`of many threads go where the map says: ${compiler}`, () => {
      using target = new Crowd(THREADS, SHARE);
      const before = footprint(target.process);
      const object = openObject(objectFile('tail-calls', compiler));
      const program = object.program('on_visit');
      const link = program.attachUprobe(target.process, `${target.module.name}:visit`, { cookie: 77n });
      const visits = target.run();
      link.detach();
      assert.deepEqual([link.hits, link.missed], [visits, 0n]);
      // Handlers visit with SIGALRM, 14: that is place 6.
      const handlers = visits - 8n * PART;
      const [main, back, stay, again, againBack, hop, hopBack, context] = seen(object);
      assert.equal(main, visits);
      assert.equal(back, 3n * PART, 'places 3, 4 and 7');
      assert.equal(stay, 3n * PART + handlers, 'places 0, 2 and 6');
      assert.deepEqual([again, againBack], [TAIL_CALLS * PART, PART], 'place 1');
      assert.deepEqual([hop, hopBack], [PART, 0n]);
      assert.equal(context, PART);
      object[Symbol.dispose]();
      assert.deepEqual(footprint(target.process), before);
    });

    it(`of a function come back to its caller: ${compiler}`, () => {
      using target = new Crowd(THREADS, SHARE);
      const before = footprint(target.process);
      const object = openObject(objectFile('tail-calls', compiler));
      const link = object
        .program('around')
        .attachUprobe(target.process, `${target.module.name}:visit`, { cookie: 77n });
      const visits = target.run();
      link.detach();
      const handlers = visits - 8n * PART;
      const [, , stay, again, , , , context, leave, leaveBack, around, returned] = seen(object);
      assert.deepEqual([leave, around], [visits, visits]);
      assert.equal(leaveBack, 3n * PART, 'places 3, 4 and 7');
      assert.equal(stay, 3n * PART + handlers);
      assert.deepEqual([again, context], [TAIL_CALLS * PART, PART]);
      // What each returns: place 0 and on.
      assert.equal(returned, (2n + 3n + 2n + 6n + 6n + 5n + 2n + 6n) * PART + 2n * handlers);
      object[Symbol.dispose]();
      assert.deepEqual(footprint(target.process), before);
    });
  }

  it('follow what the host puts into the map while they are made', () => {
    using target = new Crowd(2, SHARE);
    using object = openObject(objectFile('tail-calls'));
    const jumps = object.map('jumps');
    const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
    for (let place = 0; place < 8; place++) jumps.delete(place);
    const first = target.run();
    assert.deepEqual(seen(object).slice(0, 4), [first, first, 0n, 0n]);
    for (let place = 0; place < 7; place++) assert.equal(jumps.update(place, object.program('stay')), 0);
    const second = target.run();
    const part = BigInt((2 * SHARE) / 8);
    assert.deepEqual(seen(object).slice(0, 3), [first + second, first + part, second - part]);
    assert.deepEqual(jumps.entries()[6], { key: 6, value: 'stay' });
    link.detach();
  });

  it('find in the map what the host may put there, by the rules and error numbers of the kernel', () => {
    using object = openObject(objectFile('tail-calls'));
    using other = openObject(objectFile('tail-calls'));
    const jumps = object.map('jumps');
    const stay = object.program('stay');
    for (const [what, result, wanted] of [
      ['a program', jumps.update(3, stay), 0],
      ['a program beyond the end', jumps.update(10, stay), -7],
      ['a program where there must be none', jumps.update(4, stay, 1n), -22],
      ['a program where there must be one', jumps.update(3, stay, 2n), -22],
      ["another object's program", jumps.update(3, other.program('stay')), -9],
      ['a number', jumps.update(3, 1), -9],
      ['nothing', jumps.delete(3), 0],
      ['nothing again', jumps.delete(3), -2],
      ['nothing beyond the end', jumps.delete(10), -7],
    ] as const) {
      assert.equal(result, wanted, what);
    }
    assert.throws(() => object.map('seen').update(0, stay), TypeError);
    // The kernel takes it.
    assert.throws(() => jumps.update(3, object.program('around')), {
      code: 'RUNTIME_BAD_SLOT',
      message: 'cannot put around into map jumps: functions of it make tail calls: it can be attached only',
    });
    assert.equal(jumps.lookup(3), undefined);
  });

  it('are loaded by the command line, which shows programs by their names and attaches only those with a place', async () => {
    using target = new Crowd(1, 8);
    const { pid, module } = target;
    const place = `${module.name}:visit`;
    const attach = [`on_visit=uprobe:${place}`, `around=uprobe:${place}`].flatMap((where) => ['--attach', where]);
    const args = ['load', objectPath('tail-calls'), '-p', String(pid), '--json', '--duration', '0.3s', ...attach];
    const { stdout, code } = await remora(args);
    assert.equal(code, 0);
    const lines = jsonLines(stdout) as {
      type: string;
      name?: string;
      map_type?: string;
      entries?: unknown;
      data?: object;
    }[];
    const { links } = lines[0]!.data as { links: readonly { program: string }[] };
    assert.deepEqual(links.map(({ program }) => program).sort(), ['around', 'on_visit']);
    const jumps = lines.find(({ name }) => name === 'jumps');
    assert.equal(jumps!.map_type, 'prog_array');
    assert.deepEqual(jumps!.entries, [
      { key: 0, value: 'stay' },
      { key: 1, value: 'again' },
      { key: 2, value: 'hop' },
      { key: 5, value: 'context' },
      { key: 6, value: 'stay' },
    ]);
  });

  it('are seen by another shell', async () => {
    using target = new Crowd(1, 8);
    using object = openObject(objectFile('tail-calls'));
    object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
    const { stdout } = await remora(['maps', 'dump', 'jumps', '-p', String(target.pid), '--json']);
    const [map] = jsonLines(stdout) as { entries: readonly { value: string }[] }[];
    assert.deepEqual(
      map!.entries.map(({ value }) => value),
      ['stay', 'again', 'hop', 'context', 'stay'],
    );
  });
});
