/** Probes at both ends of functions that return in every way there is: the target behaves as without, and counts are right. */
import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type BpfLink, type BpfObject, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { Interactive } from '../support/interactive.ts';
import { objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';

/** Slots of `seen` in function-calls.bpf.c. */
const Seen = { entries: 0, returns: 4, ax: 5, ip: 6, functionIp: 7, value: 8, retval: 9 } as const;

const seen = (object: BpfObject, slot: number): bigint => BigInt(object.map('seen').entries()[slot]!.value as number);

const sum = (links: readonly BpfLink[], what: 'hits' | 'missed'): bigint =>
  links.reduce((total, link) => total + link[what], 0n);

interface Probes {
  readonly object: BpfObject;
  readonly entries: readonly BpfLink[];
  readonly returns: readonly BpfLink[];
}

/** Probes both ends of functions, in one stop. */
function probe(process: TargetProcess, binary: string, functions: readonly string[]): Probes & Disposable {
  const object = openObject(objectFile('function-calls'));
  const entry = object.program('on_entry');
  const end = object.program('on_return');
  return {
    object,
    returns: functions.map((name) => end.attachUretprobe(process, `${binary}:${name}`)),
    entries: functions.map((name) => entry.attachUprobe(process, `${binary}:${name}`)),
    [Symbol.dispose]: () => object[Symbol.dispose](),
  };
}

/** Runs a scenario under probes, and once more when they are gone. */
function runProbed(
  program: 'returning' | 'throwing',
  scenario: string,
  functions: readonly string[],
  check: (probes: Probes, calls: bigint, target: ReturningTarget) => void,
): void {
  using target = new ReturningTarget(program, scenario);
  target.run();
  const before = codeHashes(target.pid);
  using process = openProcess(target.pid);
  {
    using probes = probe(process, program, functions);
    const calls = target.run();
    assert.equal(target.wrong, 0n, 'what the target does is right');
    assert.equal(sum(probes.entries, 'hits'), calls, 'every call is counted');
    check(probes, calls, target);
  }
  assert.deepEqual(withoutLate(codeHashes(target.pid), before), before);
  target.run();
  assert.equal(target.wrong, 0n);
}

/** The scenario may have loaded libraries meanwhile. */
function withoutLate(now: Record<string, string>, before: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(now).filter(([mapping]) => mapping in before));
}

describe('a uretprobe on a running process', { skip: CANNOT_TRACE }, () => {
  it('sees what the function returned, where it returns to, and which it is', () => {
    using target = new CallsTarget(1);
    using process = openProcess(target.pid);
    using probes = probe(process, 'calls', ['work']);
    target.call(1);
    const [a, b] = [0n, 1n];
    assert.equal(seen(probes.object, Seen.ax), a * 2n + b);
    assert.equal(seen(probes.object, Seen.value), a * 2n + b);
    assert.equal(seen(probes.object, Seen.retval), a * 2n + b);
    assert.equal(seen(probes.object, Seen.functionIp), probes.returns[0]!.address);
    assert.ok(process.modules()[0]!.holdsCode(seen(probes.object, Seen.ip)));
    assert.equal(probes.returns[0]!.kind, 'uretprobe');
  });

  it('runs two of them, and exactly one of each entry and return probe a call', () => {
    using target = new CallsTarget(8);
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'));
    const [entry, end] = [object.program('on_entry'), object.program('on_return')];
    const links = [
      entry.attachUprobe(process, 'calls:work'),
      end.attachUretprobe(process, 'calls:work'),
      end.attachUretprobe(process, 'calls:work'),
      entry.attachUprobe(process, 'calls:work'),
    ];
    target.call(20_000);
    assert.deepEqual(
      links.map(({ hits }) => hits),
      links.map(() => 160_000n),
    );
    assert.deepEqual([seen(object, Seen.entries), seen(object, Seen.returns)], [320_000n, 320_000n]);
    links[1]!.detach();
    target.call(1000);
    assert.deepEqual([links[1]!.hits, links[2]!.hits, links[0]!.hits], [160_000n, 168_000n, 168_000n]);
    object[Symbol.dispose]();
    target.call(10);
    assert.equal(target.wrong, 0n);
    assert.deepEqual(codeHashes(target.pid), before);
  });

  it('follows recursion', () => {
    runProbed('returning', 'recursion', ['probed_recursive'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [calls, 0n]);
    });
  });

  it('counts as missed what is deeper than the return stack', () => {
    runProbed('returning', 'depth', ['probed_deep', 'probed_sum'], ({ returns }, calls) => {
      assert.equal(sum(returns, 'hits') + sum(returns, 'missed'), calls);
      assert.equal(returns[0]!.missed, 20n * (501n - 170n));
      assert.equal(returns[1]!.hits, 1n);
    });
  });

  it('follows functions that jump to each other, on a return stack that fills up', () => {
    const functions = ['probed_before_jumps', 'probed_first', 'probed_middle', 'probed_last'];
    runProbed('returning', 'tail', functions, ({ returns }, calls) => {
      assert.equal(sum(returns, 'hits') + sum(returns, 'missed'), calls);
      assert.ok(sum(returns, 'missed') > 0n);
    });
  });

  it('misses nothing of threads that come and go', () => {
    runProbed('returning', 'threads', ['probed_sum'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [calls, 0n]);
    });
  });

  it('drops what longjmp leaves behind', () => {
    runProbed('returning', 'longjmp', ['probed_jumping', 'probed_around', 'probed_sum'], ({ returns }) => {
      assert.deepEqual(
        returns.map(({ hits }) => hits),
        [0n, 3000n, 1n],
      );
    });
  });

  it('lets threads exit through it, their clean-up handlers run', () => {
    runProbed('returning', 'pthread_exit', ['probed_exiting'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [0n, calls]);
    });
  });

  it('lets threads be cancelled in it, their clean-up handlers run', () => {
    runProbed('returning', 'cancel', ['probed_waiting'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [0n, calls]);
    });
  });

  it('follows coroutines', () => {
    runProbed('returning', 'swapcontext', ['probed_yielding', 'probed_sum'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [calls, 0n]);
    });
  });

  it('follows coroutines from thread to thread', () => {
    runProbed('returning', 'migration', ['probed_yielding'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [calls, 0n]);
    });
  });

  it('is not seen by backtrace, which costs the returns it walked over', () => {
    runProbed('returning', 'backtrace', ['probed_tracing'], ({ returns }, calls) => {
      assert.deepEqual([sum(returns, 'hits'), sum(returns, 'missed')], [0n, calls]);
    });
  });

  it('stands signal handlers that call the same function 10,000 times a second', () => {
    runProbed('returning', 'signals', ['probed_sum', 'probed_recursive'], ({ returns, entries }) => {
      // The handler's own calls may come between the count and the call they interrupt.
      assert.equal(sum(returns, 'hits') + sum(returns, 'missed'), sum(entries, 'hits'));
      assert.equal(sum(returns, 'missed'), 0n);
    });
  });

  it('lets a forked child return through its parent’s calls', () => {
    runProbed('returning', 'fork', ['probed_forking', 'probed_sum', 'probed_recursive'], ({ returns }, calls) => {
      // Of three nested calls each, both processes return.
      assert.equal(sum(returns, 'hits'), calls + 50n * 3n);
    });
  });

  it('keeps every register', () => {
    runProbed('returning', 'registers', ['probed_torture'], ({ returns, object }, calls) => {
      assert.equal(sum(returns, 'hits'), calls);
      assert.equal(seen(object, Seen.ax), 0x1122_3344_5566_7788n);
    });
  });

  it('lets C++ exceptions of 8 threads through', () => {
    runProbed(
      'throwing',
      'threads',
      ['probed_throwing', 'probed_catching', 'probed_rethrowing'],
      ({ returns }, calls) => {
        assert.equal(sum(returns, 'hits') + sum(returns, 'missed'), calls);
        assert.ok(sum(returns, 'hits') > 0n && sum(returns, 'missed') > 0n);
      },
    );
  });

  it('is taken off while a function is still running, which returns all the same', () => {
    using target = new ReturningTarget('returning', 'staying');
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    {
      using probes = probe(process, 'returning', ['probed_staying', 'probed_jumping_to_staying']);
      target.start();
      while (probes.entries[0]!.hits === 0n);
    }
    assert.deepEqual(codeHashes(target.pid), before, 'and nothing of ours stays');
    target.start();
    target.finish();
    assert.equal(target.wrong, 0n);
  });

  it('refuses a Go program, whose entries can be probed', () => {
    using target = startTarget(compileTarget('like-go'));
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'));
    assert.throws(() => object.program('on_return').attachUretprobe(process, 'like-go:called'), {
      code: 'ATTACH_RETURN_REFUSED',
      message: /written in Go/,
    });
    const link = object.program('on_entry').attachUprobe(process, 'like-go:called');
    waitUntil('it is called', () => link.hits > 0n);
  });

  it('refuses parts put apart from their functions, which entry probes run through without harm', () => {
    using target = new ReturningTarget('throwing', 'threads');
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'));
    const place = 'throwing:probed_throwing.cold';
    assert.throws(() => object.program('on_return').attachUretprobe(process, place), {
      code: 'ATTACH_ENTRY_ONLY',
      why: /a part put apart from its function/,
    });
    const link = object.program('on_entry').attachUprobe(process, place);
    target.run();
    assert.equal(target.wrong, 0n);
    assert.ok(link.hits > 0n);
  });

  it('refuses a process with greenlets, whose stacks are copied away and back', () => {
    const python = realpathSync('/usr/bin/python3');
    using target = new Interactive(python, ['-c', "import greenlet; print('ready', flush=True); input()"]);
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'));
    assert.throws(() => object.program('on_return').attachUretprobe(process, 'libc.so.6:getppid'), {
      code: 'ATTACH_RETURN_REFUSED',
      message: /greenlet is loaded, which copies stacks/,
    });
  });

  for (const name of ['setjmp', 'vfork', 'swapcontext', 'dlopen', '_Unwind_Resume']) {
    it(`refuses ${name}`, () => {
      using target = new ReturningTarget('throwing', 'threads');
      using process = openProcess(target.pid);
      using object = openObject(objectFile('function-calls'));
      const binary = name.startsWith('_Unwind') ? 'libgcc_s.so.1' : 'libc.so.6';
      assert.throws(() => object.program('on_return').attachUretprobe(process, `${binary}:${name}`), {
        code: 'ATTACH_RETURN_REFUSED',
      });
    });
  }
});
