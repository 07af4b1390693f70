/** Programs at system calls, on live processes: what they see is what the kernel's would, and the target does not notice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfLink, syscallPlaces } from '../../src/index.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { counting, GETPPID, numbers, tracing } from '../support/tracing-calls.ts';

const READ = 0;

describe('a program at every system call', { skip: CANNOT_TRACE }, () => {
  for (const [scenario, ...programs] of [
    ['plain', 'on_enter'],
    ['plain', 'on_exit'],
    ['threads', 'on_enter', 'on_exit'],
    ['state', 'on_enter'],
    ['state', 'on_enter', 'on_exit'],
  ] as const) {
    it(`counts exactly and leaves everything as it was: ${scenario}, ${programs.join(' and ')}`, () => {
      counting(scenario, programs);
    });
  }
});

describe('threads that wait in a call', { skip: CANNOT_TRACE }, () => {
  const programs = ['on_enter', 'on_exit'];

  it('go on when they were waiting before we came and after we went', () => {
    using target = new ReturningTarget('calling', 'waiting');
    target.run();
    tracing(target.pid, programs, () => {});
    target.run();
    assert.equal(target.wrong, 0n);
  });

  it('that they made before we came are seen when they return, where the call stayed in its place', () => {
    using target = new ReturningTarget('calling', 'waiting');
    target.run();
    tracing(target.pid, programs, (object) => {
      target.run();
      assert.equal(numbers(object, 'entered')[READ], 0n);
      assert.equal(numbers(object, 'left')[READ], 1n);
    });
    assert.equal(target.wrong, 0n);
  });

  it('do not hold up detaching, nor keep our code', () => {
    using target = new ReturningTarget('calling', 'waiting');
    tracing(target.pid, programs, (object) => {
      target.run();
      assert.equal(numbers(object, 'entered')[READ], 2n);
    });
    target.run();
    assert.equal(target.wrong, 0n);
  });

  it('are where they were when programs come and go meanwhile', () => {
    using target = new ReturningTarget('calling', 'waiting');
    tracing(target.pid, programs, (object, links, process) => {
      target.run();
      links[1]!.detach();
      object.program('on_exit').attach(process);
      object.program('on_raw_exit').attach(process);
      target.run();
      assert.equal(target.wrong, 0n);
      assert.equal(numbers(object, 'entered')[READ], 2n);
    });
  });
});

describe('programs of single calls', { skip: CANNOT_TRACE }, () => {
  /** Calls that a scenario makes, by the hits of links. */
  it('run for their call and no other, each until it is detached', () => {
    using target = new ReturningTarget('calling', 'dispatch');
    tracing(target.pid, [], (object, _links, process) => {
      const attach = (program: string, place: string): BpfLink => object.program(program).attachTo(process, place);
      const every = attach('on_enter', 'raw_tp:sys_enter');
      const reads = [attach('on_enter', 'tp:syscalls/sys_enter_read'), attach('on_exit', 'tp:syscalls/sys_exit_read')];
      const write = attach('on_enter', 'tracepoint:syscalls:sys_enter_write');
      const links = [every, ...reads, write];
      const rounds = (): readonly bigint[] => {
        const before = links.map(({ hits }) => hits);
        target.run();
        return links.slice(1).map(({ hits }, n) => hits - before[n + 1]!);
      };
      assert.deepEqual(rounds(), [10n, 10n, 10n]);
      assert.ok(every.hits >= 30n);
      every.detach();
      assert.deepEqual(rounds(), [10n, 10n, 10n]);
      for (const read of reads) read.detach();
      assert.deepEqual(rounds(), [0n, 0n, 10n]);
      write.detach();
      assert.deepEqual(rounds(), [0n, 0n, 0n]);
      assert.equal(target.wrong, 0n);
    });
  });

  it('leave every other call as it is, so that it costs nothing', () => {
    using target = new ReturningTarget('calling', 'plain');
    tracing(target.pid, [], (object, _links, process) => {
      const links = ['enter', 'exit'].map((when) =>
        object.program(`on_${when}`).attachTo(process, `tp:syscalls/sys_${when}_getppid`),
      );
      const others = syscallPlaces(process).filter(({ number }) => number !== undefined && number !== GETPPID);
      for (const { module, address, displaced } of others) {
        assert.ok(links.every(({ addresses }) => !addresses.includes(address)));
        const [front, behind] = displaced;
        const [start, size] = [address - BigInt(front), front + 2 + behind];
        const file = module.elf.bytesAt(start - module.bias, size);
        assert.equal(Buffer.compare(process.memory.read(start, size), file), 0, `${address}`);
      }
      assert.ok(others.length > 100, 'the C library makes many');
    });
  });

  for (const [why, program, place, code] of [
    ['a call that there is not', 'on_enter', 'tp:syscalls/sys_enter_opennat', 'ATTACH_NO_SYSCALL'],
    ['another tracepoint', 'on_enter', 'tp:sched/sched_switch', 'ATTACH_BAD_TARGET'],
    ['a name where a tracepoint is wanted', 'on_enter', 'tp:openat', 'ATTACH_BAD_TARGET'],
    ['a tracepoint where a name is wanted', 'on_mmap', 'ksyscall:syscalls/sys_enter_mmap', 'ATTACH_BAD_TARGET'],
  ] as const) {
    it(`are refused for ${why}`, () => {
      using target = new ReturningTarget('calling', 'plain');
      tracing(target.pid, [], (object, _links, process) => {
        assert.throws(
          () => object.program(program).attachTo(process, place),
          (error: Error & { code?: string }) => error.code === code,
        );
      });
    });
  }

  it('and probes of functions refuse bytes that the other has', () => {
    using target = new ReturningTarget('calling', 'plain');
    tracing(target.pid, [], (object, _links, process) => {
      const probe = object.program('on_mmap').attachTo(process, 'uprobe:libc.so.6:getppid');
      const calls = object.program('on_enter').attachTo(process, 'tp:syscalls/sys_enter_getppid');
      assert.match(calls.method, /1 of its places not reached/);
      probe.detach();
      calls.detach();
      const again = object.program('on_enter').attachTo(process, 'tp:syscalls/sys_enter_getppid');
      assert.equal(again.method, 'jump');
      assert.throws(
        () => object.program('on_mmap').attachTo(process, 'uprobe:libc.so.6:getppid'),
        (error: Error & { code?: string }) => error.code === 'ATTACH_SITE_OVERLAP',
      );
    });
  });
});

describe('what programs see', { skip: CANNOT_TRACE }, () => {
  const MMAP = 9n;
  const sees = [MMAP, 0n, 8192n, 1n, 0x22n, -1n, 0n, MMAP];
  for (const [enter, exit] of [
    ['on_enter_mmap', 'on_exit_mmap'],
    ['on_mmap', 'on_mmap_return'],
    ['on_raw_enter', 'on_raw_exit'],
  ] as const) {
    it(`is the number, the arguments and the result: ${enter}, ${exit}`, () => {
      using target = new ReturningTarget('calling', 'mapping');
      tracing(target.pid, [enter, exit], (object, [link], process) => {
        target.run();
        const seen = numbers(object, 'seen');
        const args = seen.slice(0, 8).map((value, n) => (n === 5 ? BigInt.asIntN(32, value) : value));
        assert.deepEqual(args, sees);
        assert.equal(BigInt.asUintN(64, seen[8]!), target.calls, 'the result');
        if (enter === 'on_enter_mmap') return;
        const ip = BigInt.asUintN(64, seen[9]!);
        assert.ok(link!.addresses.includes(ip - 2n), 'it points behind the call');
        assert.ok(process.findModule('libc.so.6').holdsCode(ip));
      });
    });
  }
});
