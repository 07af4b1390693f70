import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Registers, UserRegs } from '../sys/ptrace.ts';
import { NO_SYSTEM_CALL, resumePoint, withoutSpuriousEintr } from './resume-point.ts';

const EMPTY = UserRegs.read(new Uint8Array(UserRegs.size));

function registers(origRax: bigint, rax: bigint): Registers {
  return { ...EMPTY, rip: 0x1002n, origRax: BigInt.asUintN(64, origRax), rax: BigInt.asUintN(64, rax) };
}

describe('resumePoint', () => {
  for (const [what, before, rip, rax] of [
    ['in user code, where nothing changes', registers(-1n, -512n), 0x1002n, -512n],
    ['behind a call that is done', registers(0n, 5n), 0x1002n, 5n],
    ['behind a call that failed', registers(0n, -9n), 0x1002n, -9n],
    ['in a call to be made again (ERESTARTSYS)', registers(0n, -512n), 0x1000n, 0n],
    ['in a call to be made again (ERESTARTNOINTR)', registers(202n, -513n), 0x1000n, 202n],
    ['in a call to be made again (ERESTARTNOHAND)', registers(34n, -514n), 0x1000n, 34n],
    ['in a sleep to be finished (ERESTART_RESTARTBLOCK)', registers(230n, -516n), 0x1000n, 219n],
  ] as const) {
    it(`of a thread ${what}`, () => {
      const after = resumePoint(before);
      assert.deepEqual([after.rip, BigInt.asIntN(64, after.rax), after.origRax], [rip, rax, NO_SYSTEM_CALL]);
      assert.deepEqual(resumePoint(after), after);
    });
  }
});

describe('withoutSpuriousEintr', () => {
  it('has epoll_wait made again, unless a handler runs', () => {
    const { rax, rip } = withoutSpuriousEintr(registers(232n, -4n));
    assert.deepEqual([BigInt.asIntN(64, rax), rip], [-514n, 0x1002n]);
  });

  for (const [what, before] of [
    ['connect, which goes on by itself', registers(42n, -4n)],
    ['close, which is done', registers(3n, -4n)],
    ['a call that failed for another reason', registers(232n, -9n)],
    ['user code', registers(-1n, -4n)],
  ] as const) {
    it(`leaves ${what}`, () => assert.equal(withoutSpuriousEintr(before), before));
  }
});
