/** Faults E2 to E9: system calls that are not what they look like, come at the wrong time, or are not let be. E1: syscall-counts.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { SleepingTarget } from '../support/sleeping-target.ts';
import { counting, GETPPID, numbers, tracing } from '../support/tracing-calls.ts';

/** How many times E4 stops its target to attach a program, and as often to detach it. */
const STOPS = repetitions(60, 10_000);
/** One of so many programs of E4 comes to a call that threads wait in; the other stops are short. */
const CALL_EVERY = 20;
const WAITING_CALLS = ['read', 'poll', 'epoll_wait', 'futex', 'accept', 'clock_nanosleep', 'pselect6', 'recvfrom'];
const BOTH = ['on_enter', 'on_exit'];

describe('faults of system calls', { skip: CANNOT_TRACE }, () => {
  it('E2: bytes of a call in constants, addresses and data are never changed', () => {
    using target = new ReturningTarget('calling', 'traps');
    tracing(target.pid, BOTH, (_object, links, process) => {
      const module = process.findModule('calling');
      const { value, size } = module.elf.findSymbol('misleading')!;
      const address = module.bias + value;
      const isInside = (place: bigint): boolean => place >= address && place < address + BigInt(size);
      for (const { addresses } of links) assert.deepEqual(addresses.filter(isInside), []);
      target.run();
      assert.equal(target.wrong, 0n);
      assert.equal(Buffer.compare(process.memory.read(address, size), module.elf.bytesAt(value, size)), 0);
    });
  });

  it('E3: fork, vfork, clone, clone3, execve and exit do what they do', () => counting('children', BOTH));

  it('E3: signal handlers return, with and without a call that is made again', () => counting('signals', BOTH));

  it('E4: no wait is cut short or interrupted while programs come and go', () => {
    using target = new SleepingTarget();
    const isRight = (): void => assert.equal(target.wrong, 0n);
    using process = openProcess(target.pid);
    using counting = openObject(objectFile('count'));
    using object = openObject(objectFile('syscalls'));
    const attached = BOTH.map((program) => object.program(program).attach(process));
    for (const link of attached) link.detach();
    const calls = WAITING_CALLS.flatMap((call) => [`enter_${call}`, `exit_${call}`]);
    for (let stop = BOTH.length; stop < STOPS; stop++) {
      const call = calls[(stop / CALL_EVERY) % calls.length];
      // Some where threads wait at that moment, which takes longer, and all others elsewhere.
      const link =
        call === undefined
          ? counting.program('on_call').attachTo(process, 'uprobe:libc.so.6:getppid')
          : object.program(`on_${call.split('_')[0]}`).attachTo(process, `tp:syscalls/sys_${call}`);
      link.detach();
      isRight();
    }
    target.finish();
    isRight();
  });

  it('E5: a number that no kernel knows gives ENOSYS', () => counting('invalid', BOTH));

  it('E6: calls of the vDSO and by int 0x80 are not seen, and not disturbed', () => {
    using target = new ReturningTarget('calling', 'other gates');
    tracing(target.pid, BOTH, (object) => {
      target.run();
      assert.equal(target.wrong, 0n);
      const CLOCK_GETTIME = 228;
      assert.ok(numbers(object, 'entered')[CLOCK_GETTIME]! < 1000n);
    });
  });

  it('E8: a call that is answered is not made, its result may be changed, and all else is kept', () => {
    using target = new ReturningTarget('calling', 'answered');
    tracing(target.pid, ['on_getppid', 'on_getppid_exit', ...BOTH], (object) => {
      assert.equal(target.run(), 100n, 'every third');
      assert.equal(target.wrong, 0n);
      assert.deepEqual([numbers(object, 'entered')[GETPPID], numbers(object, 'left')[GETPPID]], [300n, 300n]);
    });
    assert.equal(target.run(), 0n);
    assert.equal(target.wrong, 0n);
  });

  it('E8: without permission nothing is answered or changed', () => {
    using target = new ReturningTarget('calling', 'answered');
    using process = openProcess(target.pid);
    using object = openObject(objectFile('syscalls'));
    for (const program of ['on_getppid', 'on_getppid_exit']) {
      assert.throws(() => object.program(program).attach(process), /override/);
    }
    assert.equal(target.run(), 0n);
  });

  it('E8: what never comes back cannot be answered', () => {
    using target = new ReturningTarget('calling', 'children');
    tracing(target.pid, ['on_exit_group'], (object) => {
      target.run();
      assert.equal(target.wrong, 0n);
      assert.equal(numbers(object, 'seen')[11], -95n, 'EOPNOTSUPP');
    });
  });

  it('E9: a place that was changed under us is reported and left alone, and all others are put back', () => {
    using target = new ReturningTarget('calling', 'plain');
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    const object = openObject(objectFile('syscalls'));
    const link = object.program('on_enter').attach(process);
    const module = process.findModule('libc.so.6');
    // What a target does that makes its text writable: here from outside, since both come to the same.
    const fronts = link.addresses.map((address) => address - 5n).filter((address) => module.holdsCode(address));
    const jumps = fronts.filter((address) => process.memory.read(address, 1)[0] === 0xe9);
    const changed = { address: jumps[0]!, original: module.elf.bytesAt(jumps[0]! - module.bias, 5) };
    process.memory.write(changed.address, Uint8Array.of(0xf4, 0xf4, 0xf4, 0xf4, 0xf4));
    for (const end of [() => link.detach(), () => object[Symbol.dispose]()]) {
      assert.throws(end, (error: Error & { code?: string }) => error.code === 'INJECT_SITE_CHANGED');
    }
    assert.equal(process.memory.read(changed.address, 1)[0], 0xf4);
    process.memory.write(changed.address, changed.original);
    const after = codeHashes(target.pid);
    for (const [mapping, hash] of Object.entries(before)) assert.equal(after[mapping], hash, mapping);
    target.run();
    assert.equal(target.wrong, 0n);
  });
});
