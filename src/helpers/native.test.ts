/** The helpers that talk to the kernel, as machine code in a real process: what the fake kernel of the others promises. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { FACTS, helperContext } from '../../tests/contract/helper.contract.ts';
import { CODE_ADDRESS, NativeRunner } from '../../tests/support/native-runner.ts';
import { Assembler } from '../arch/x64/assembler.ts';
import { emitSysVFunction } from '../arch/x64/lower.ts';
import { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import { getSmpProcessorId } from './cpu.ts';
import type { Helper } from './helper.ts';
import { probeReadUser } from './probe-read.ts';
import { probeReadUserStr } from './probe-read-str.ts';
import { sendSignal, sendSignalThread } from './signal.ts';
import { getCurrentComm, getCurrentPidTgid, getCurrentUidGid } from './task.ts';
import { ktimeGetBootNs, ktimeGetCoarseNs, ktimeGetNs, ktimeGetTaiNs } from './time.ts';
import { probeWriteUser } from './write-user.ts';

/** Two pages that the test maps at a place of its own: one to use, the next without any access. */
const PAGES = 0x2000_0000_0000n;
const PAGE = 4096;
const CELLS = { ...FACTS, pidCell: PAGES, tidOffset: undefined, clockGettime: undefined };

describe('helpers in a real process', () => {
  const runner = new NativeRunner();
  after(() => runner[Symbol.dispose]());

  /** Runs what `body` emits; its param is the address of 64 bytes of memory that come back. */
  async function run(body: (b: Builder, memory: Value) => Value): Promise<{ result: bigint; memory: Uint8Array }> {
    const fn = Builder.function('test', 2, (b, [memory]) => {
      mapPage(b, PAGES, 3);
      mapPage(b, PAGES + BigInt(PAGE), 0);
      b.return(body(b, memory!));
    });
    const a = new Assembler(CODE_ADDRESS);
    emitSysVFunction(a, fn);
    const [outcome] = await runner.run([{ code: a.finish(), memory: new Uint8Array(64).fill(0xee) }]);
    if (outcome === undefined || 'died' in outcome) assert.fail(`the process died: ${outcome?.died}`);
    return { result: BigInt.asIntN(64, outcome.result), memory: outcome.memory };
  }

  const emit = (b: Builder, helper: Helper, args: Value[]): Value => helper.emit(b, args, helperContext(CELLS));

  for (const [where, address, size, readable] of [
    ['in a page', PAGES + 8n, 16, true],
    ['at the end of a page', PAGES + BigInt(PAGE) - 16n, 16, true],
    ['that begin in a page and end in one without access', PAGES + BigInt(PAGE) - 15n, 16, false],
    ['in a page without access', PAGES + BigInt(PAGE), 1, false],
    ['at NULL', 0n, 8, false],
    ['that are not mapped', 0xdead_0000n, 8, false],
    ['of the kernel', 0xffff_ffff_8100_0000n, 8, false],
    ['at an address that is no address', 0x8000_0000_0000_0000n, 8, false],
    ['at the top of the address space', (1n << 64n) - 1n, 2, false],
  ] as const) {
    it(`reads ${size} bytes ${where}${readable ? '' : ': -EFAULT and zeros'}`, async () => {
      const { result, memory } = await run((b, to) => emit(b, probeReadUser, [to, b.const(size), b.const(address)]));
      assert.equal(result, readable ? 0n : -BigInt(Errno.EFAULT));
      assert.deepEqual(memory, new Uint8Array(64).fill(0xee).fill(0, 0, size));
    });
  }

  for (const [where, address, size, expected] of [
    ['in a page', PAGES + 100n, 16, 'string\0'],
    ['up to the end of a page', PAGES + BigInt(PAGE) - 7n, 16, 'string\0'],
    ['cut where there is no more room', PAGES + 100n, 4, 'str\0'],
    ['that goes on in a page without access', PAGES + BigInt(PAGE) - 6n, 16, undefined],
    ['at NULL', 0n, 16, undefined],
  ] as const) {
    it(`reads a string ${where}`, async () => {
      const { result, memory } = await run((b, to) => {
        for (const at of expected === undefined ? [PAGE - 6] : [100, PAGE - 7]) {
          for (const [index, byte] of [...Buffer.from('string\0')].slice(0, PAGE - at).entries()) {
            b.store(1, b.const(PAGES + BigInt(at + index)), 0, byte);
          }
        }
        return emit(b, probeReadUserStr, [to, b.const(size), b.const(address)]);
      });
      const text = new Uint8Array(64).fill(0xee);
      text.set(expected === undefined ? new Uint8Array(size) : Buffer.from(expected));
      assert.equal(result, expected === undefined ? -BigInt(Errno.EFAULT) : BigInt(expected.length));
      assert.deepEqual(memory, text);
    });
  }

  it('writes to pages that may be written, and to no others', async () => {
    const { result, memory } = await run((b, to) => {
      const word = b.stack(8);
      b.store(8, word, 0, 0x1122n);
      b.store(8, to, 0, emit(b, probeWriteUser, [b.const(PAGES + 512n), word, b.const(8)]));
      b.store(8, to, 8, b.load(8, b.const(PAGES + 512n)));
      return emit(b, probeWriteUser, [b.const(PAGES + BigInt(PAGE)), word, b.const(8)]);
    });
    assert.deepEqual([...new BigInt64Array(memory.slice(0, 16).buffer)], [0n, 0x1122n]);
    assert.equal(result, -BigInt(Errno.EFAULT));
  });

  it('sends signals to itself', async () => {
    // SIGCONT does nothing to a process that runs; there is no signal 65.
    const { result, memory } = await run((b, to) => {
      b.store(8, to, 0, emit(b, sendSignal, [b.const(18)]));
      b.store(8, to, 8, emit(b, sendSignalThread, [b.const(18)]));
      return emit(b, sendSignal, [b.const(65)]);
    });
    assert.deepEqual([...new BigInt64Array(memory.slice(0, 16).buffer)], [0n, 0n]);
    assert.equal(result, -BigInt(Errno.EINVAL));
  });

  it('knows user and group', async () => {
    const { result } = await run((b) => emit(b, getCurrentUidGid, []));
    assert.equal(result, (BigInt(process.getgid!()) << 32n) | BigInt(process.getuid!()));
  });

  it('knows the clocks', async () => {
    const { result, memory } = await run((b, to) => {
      b.store(8, to, 0, emit(b, ktimeGetBootNs, []));
      b.store(8, to, 8, emit(b, ktimeGetTaiNs, []));
      return emit(b, ktimeGetCoarseNs, []);
    });
    const [boot, tai] = new BigInt64Array(memory.slice(0, 16).buffer);
    const now = process.hrtime.bigint();
    assert.ok(result <= now && result > now - 10_000_000_000n);
    assert.ok(boot! >= result);
    // Leap seconds so far are 37, where the kernel has been told of them.
    assert.ok(tai! / 1_000_000_000n - BigInt(Math.floor(Date.now() / 1000)) < 60n);
  });

  it('reads its own stack', async () => {
    const { result, memory } = await run((b, to) => {
      const local = b.stack(8);
      b.store(8, local, 0, 0x1122_3344_5566_7788n);
      return emit(b, probeReadUser, [to, b.const(8), local]);
    });
    assert.deepEqual([result, Buffer.from(memory).readBigUInt64LE()], [0n, 0x1122_3344_5566_7788n]);
  });

  it('asks for the process once and then knows it', async () => {
    const { result, memory } = await run((b, to) => {
      b.store(8, to, 0, emit(b, getCurrentPidTgid, []));
      b.store(8, to, 8, b.load(4, b.const(PAGES)));
      return emit(b, getCurrentPidTgid, []);
    });
    const [first, cell] = new BigInt64Array(memory.slice(0, 16).buffer);
    assert.equal(result, first);
    assert.deepEqual([result >> 32n, result & 0xffff_ffffn], [cell, cell], 'the main thread has the id of its process');
  });

  it('knows the name of the thread', async () => {
    const { result, memory } = await run((b, to) => emit(b, getCurrentComm, [to, b.const(16)]));
    assert.equal(result, 0n);
    assert.match(Buffer.from(memory.subarray(0, 16)).toString(), /^[^\0]+\0+$/);
  });

  it('knows the time', async () => {
    const before = process.hrtime.bigint();
    const { result } = await run((b) => emit(b, ktimeGetNs, []));
    assert.ok(result >= before && result <= process.hrtime.bigint());
  });

  it('knows the processor', async () => {
    const { result } = await run((b) => emit(b, getSmpProcessorId, []));
    assert.ok(result >= 0n && result < 4096n);
  });
});

/** mmap(address, one page, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) */
function mapPage(b: Builder, address: bigint, protection: number): void {
  b.syscall(9, [address, PAGE, protection, 0x32, -1, 0]);
}
