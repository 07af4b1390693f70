/**
 * Objects that people already have: what Debian's libbpf-tools carry within themselves, unchanged. Each is attached to a program that is
 * running and waits for a line; what the line makes it do is known exactly, and so is what the tool has to tell of it.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { type BpfMap, type BpfObject, openObject, openProcess, verifyObject } from '../../src/index.ts';
import { readNamespace } from '../../src/sys/process-view.ts';
import { codeHashes } from '../support/code-hash.ts';
import { embeddedObject } from '../support/embedded-object.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { Interactive } from '../support/interactive.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';
import { readVariable, writeVariable } from '../support/variables.ts';

/** Tools, and the programs of each. */
const TOOLS = {
  bashreadline: 1,
  execsnoop: 2,
  gethostlatency: 2,
  javagc: 4,
  mountsnoop: 4,
  opensnoop: 4,
  sigsnoop: 7,
  statsnoop: 10,
  syscount: 2,
} as const;

/** How often a line does what it does: what mountsnoop tells of it fits into its ring. */
const TIMES = 8;
/** For events that were sent already. */
const PATIENCE_MS = 20_000;
const ENOENT = -2;

const WORKER = `
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
print('ready', flush=True)
for line in sys.stdin:
    for i in range(${TIMES}): exec(line)
    print('done', flush=True)`;
/** The system's python3 where there is one: others on the path may be wrappers. */
const PYTHON_PATH = existsSync('/usr/bin/python3') ? realpathSync('/usr/bin/python3') : 'python3';

const objectOf = (tool: keyof typeof TOOLS): Uint8Array => embeddedObject(`/usr/sbin/${tool}`);

describe('objects of libbpf-tools', () => {
  for (const [tool, count] of Object.entries(TOOLS)) {
    it(`${tool} is linked, and each of its ${count} programs accepted`, () => {
      const verdicts = [...verifyObject(objectOf(tool as keyof typeof TOOLS))];
      assert.deepEqual(
        verdicts.map(({ error }) => error?.message),
        Array(count).fill(undefined),
      );
    });
  }
});

describe('objects of libbpf-tools in a python3', { skip: CANNOT_TRACE }, () => {
  const python = new Interactive(PYTHON_PATH, ['-c', WORKER]);
  // One for all, since it is large: what was learnt of its code serves the next.
  const target = openProcess(python.pid);
  after(() => {
    target[Symbol.dispose]();
    python[Symbol.dispose]();
  });
  const comm = readFileSync(`/proc/${python.pid}/comm`, 'utf8').trim();
  let lines = 0;

  /** Attaches a tool, lets python do `line`, gives the object to `look`; then nothing is left. */
  async function observe(
    tool: keyof typeof TOOLS,
    line: string,
    look: (object: BpfObject) => Promise<void> | void,
    { places = {}, without = [] }: { places?: Readonly<Record<string, string>>; without?: readonly string[] } = {},
  ): Promise<void> {
    const before = codeHashes(python.pid);
    {
      using object = openObject(objectOf(tool));
      if (without.length === 0) object.attachAll(target, new Map(Object.entries(places)));
      else for (const program of object.programs) if (!without.includes(program.name)) program.attach(target);
      python.say(line);
      lines++;
      waitUntil('it has been done', () => python.output.split('done').length > lines, PATIENCE_MS);
      await look(object);
    }
    assert.deepEqual(codeHashes(python.pid), before);
  }

  it('opensnoop tells each file that is opened', () =>
    observe('opensnoop', "os.close(os.open('/etc/hostname', os.O_RDONLY | os.O_CLOEXEC))", async (object) => {
      for (const event of await bytesOf(object.map('events'), TIMES)) {
        assert.deepEqual([event.readInt32LE(8), event.readInt32LE(12)], [python.pid, 0], 'process and user');
        assert.ok(event.readInt32LE(16) > 2, 'a descriptor');
        assert.equal(event.readInt32LE(20), 0o2000000, 'flags');
        assert.deepEqual([textAt(event, 40), textAt(event, 56)], [comm, '/etc/hostname']);
      }
      assert.deepEqual(object.map('start').entries(), []);
    }));

  it('statsnoop tells each file that is asked about', () =>
    observe('statsnoop', "os.stat('/etc/hostname'); os.statvfs('/tmp')", async (object) => {
      const events = await bytesOf(object.map('events'), 2 * TIMES);
      const told = events.map((event) => [
        event.includes('/etc/hostname\0') ? 'stat' : 'statvfs',
        event.includes(comm),
      ]);
      const wanted = Array.from({ length: TIMES }, () => [
        ['stat', true],
        ['statvfs', true],
      ]).flat();
      assert.deepEqual(told, wanted);
      assert.ok(events.every((event) => event.includes('/etc/hostname\0') || event.includes('/tmp\0')));
    }));

  it('sigsnoop tells each signal that is sent', () =>
    observe(
      'sigsnoop',
      'os.kill(os.getpid(), 0)',
      async (object) => {
        const event = { pid: python.pid, tpid: python.pid, sig: 0, ret: 0, comm };
        const events = await take(object.map('events'), TIMES);
        assert.deepEqual(
          events.map((one) => ({ ...(one as object) })),
          Array(TIMES).fill(event),
        );
      },
      // Signals as the kernel sends them are no system calls.
      { without: ['sig_trace'] },
    ));

  it('mountsnoop tells each mount, and in which namespace', () =>
    observe(
      'mountsnoop',
      "libc.mount(b'what', b'/nonexistent/where', b'ext9', 0, 0); libc.umount2(b'/nonexistent/there', 0)",
      async (object) => {
        const namespace = Number(readNamespace(python.pid, 'mnt')!.inode);
        const events = await bytesOf(object.map('events'), 2 * TIMES);
        for (const [index, event] of events.entries()) {
          assert.deepEqual([event.readUInt32LE(16), event.readUInt32LE(20)], [python.pid, python.pid]);
          assert.deepEqual([event.readUInt32LE(24), event.readInt32LE(28)], [namespace, ENOENT]);
          assert.equal(textAt(event, 32), comm);
          const texts = index % 2 === 0 ? ['what\0', '/nonexistent/where\0', 'ext9\0'] : ['/nonexistent/there\0'];
          for (const text of texts) assert.ok(event.includes(text), text);
        }
      },
    ));

  it('gethostlatency tells each name that is looked up', () =>
    observe(
      'gethostlatency',
      "socket.getaddrinfo('127.0.0.1', None)",
      async (object) => {
        for (const event of await take(object.map('events'), TIMES)) {
          const { time, ...rest } = event as { readonly time: number };
          assert.deepEqual(rest, { pid: python.pid, comm, host: '127.0.0.1' });
          assert.ok(time > 0);
        }
      },
      {
        places: {
          handle_entry: 'uprobe:libc.so.6:getaddrinfo',
          handle_return: 'uretprobe:libc.so.6:getaddrinfo',
        },
      },
    ));

  it('syscount counts each system call', () =>
    observe('syscount', 'os.getppid()', (object) => {
      const counts = object.map('data').entries() as { key: number; value: { count: number } }[];
      assert.equal(counts.find(({ key }) => key === 110)?.value.count, TIMES);
    }));

  it('execsnoop passes over programs that could not be started, as its default is', () =>
    observe('execsnoop', "libc.execl(b'/nonexistent/program', b'program', None)", (object) => {
      assert.deepEqual(object.map('execs').entries(), []);
    }));
});

describe('objects of libbpf-tools elsewhere', { skip: CANNOT_TRACE }, () => {
  it('bashreadline tells each line that a bash reads', async () => {
    const command = "PS1='ready ' exec bash --norc --noprofile -i";
    using terminal = new Interactive('/usr/bin/script', ['-qfc', command, '/dev/null']);
    const pid = Number(readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, 'utf8'));
    using target = openProcess(pid);
    using object = openObject(objectOf('bashreadline'));
    object.attachAll(target, new Map([['printret', 'uretprobe:bash:readline']]));
    // The first line was asked for before we came.
    for (const line of [': before', ': first', ': second one']) terminal.say(line);
    const events = await bytesOf(object.map('events'), 2);
    assert.deepEqual(
      events.map((event) => [event.readUInt32LE(0), textAt(event, 4)]),
      [
        [pid, ': first'],
        [pid, ': second one'],
      ],
    );
  });

  it('javagc tells how long each collection took, of a program with such probes', async () => {
    using running = startTarget(compileTarget('usdt'));
    using target = openProcess(running.pid);
    using object = openObject(objectOf('javagc'));
    const [begin, end] = ['usdt:usdt:zoo:fed', 'usdt:usdt:zoo:idle'];
    object.attachAll(
      target,
      new Map([
        ['handle_gc_start', begin],
        ['handle_mem_pool_gc_start', begin],
        ['handle_gc_end', end],
        ['handle_mem_pool_gc_end', end],
      ]),
    );
    writeVariable(target, 'usdt', 'go', 1n);
    waitUntil('it has passed them', () => readVariable(target, 'usdt', 'done') === 1n, PATIENCE_MS);
    for (const event of await take(object.map('perf_map'), 1000)) {
      const { pid, ts } = event as { readonly pid: number; readonly ts: number };
      assert.equal(pid, running.pid);
      assert.ok(ts > 0);
    }
    assert.deepEqual(object.map('data_map').entries(), []);
  });
});

/** The next events of a ring buffer or perf event array. */
async function take(map: BpfMap, count: number): Promise<unknown[]> {
  const options = { signal: AbortSignal.timeout(PATIENCE_MS) };
  const events: unknown[] = [];
  try {
    for await (const event of map.typeName === 'ringbuf' ? map.ringBuffer(options) : map.perfBuffer(options)) {
      events.push(event);
      if (events.length === count) break;
    }
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
  assert.equal(events.length, count);
  return events;
}

async function bytesOf(map: BpfMap, count: number): Promise<Buffer[]> {
  return (await take(map, count)).map((event) => Buffer.from(event as string, 'hex'));
}

function textAt(event: Buffer, at: number): string {
  return event.toString('latin1', at, event.indexOf(0, at));
}
