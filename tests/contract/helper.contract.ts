/** What every helper must hold to: called the same way, interpreter and emitted code give the same result and memory. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/hex.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { BpfError } from '../../src/errors.ts';
import type { EmitContext, Helper, HelperWorld, TargetFacts } from '../../src/helpers/helper.ts';
import { PRINTK_RING_SIZE } from '../../src/helpers/printk-ring.ts';
import { Builder } from '../../src/ir/builder.ts';
import type { IrFunction } from '../../src/ir/value.ts';
import { type EvaluatorMemory, evaluate, regions } from '../support/ir-evaluator.ts';
import { clockGettime, systemCall, THREAD } from './fake-kernel.ts';

/** One call. */
export interface HelperCase {
  readonly title: string;
  readonly args: readonly bigint[];
  /** What the program's memory holds before, from DATA on; the rest of it is 0xee. */
  readonly before?: Uint8Array;
  /** r0, signed. */
  readonly result: bigint;
  /** The first bytes of the memory afterwards, in hex; the rest of it is as it was. Unless given, nothing changes. */
  readonly after?: string;
  /** Facts that differ from those of FACTS. */
  readonly facts?: Partial<TargetFacts>;
  /** Errors of system calls, by number; the interpreter makes none, so it is not asked. */
  readonly failing?: Readonly<Record<number, bigint>>;
}

/** The program's memory: one page that may be read and written. */
export const DATA = 0x10_0000n;
const PAGE = 4096;

const CELLS = 0x20_0000n;
/** The target that the emitted side is made for. */
export const FACTS: TargetFacts = {
  clockGettime: 0x7fff_0000n,
  pidCell: CELLS,
  tidOffset: 16,
  tickNs: 4_000_000n,
  printkRing: 0x30_0000n,
  randomState: CELLS + 8n,
  wakesConsumers: true,
};
const THREAD_POINTER = 0x40_0000n;
const FUNCTION_IP = 0x40_1000n;
const COOKIE = 77n;

/** Registers the cases of one helper. */
export function describeHelper(helper: Helper, cases: readonly HelperCase[]): void {
  describe(helper.name, () => {
    for (const one of cases) {
      const sides =
        one.failing === undefined ? (['interpreter', 'emitted code'] as const) : (['emitted code'] as const);
      for (const side of sides) {
        it(`${one.title}: ${side}`, () => {
          const data = new Uint8Array(PAGE).fill(0xee);
          data.set(one.before ?? []);
          const result = side === 'interpreter' ? runHelper(helper, one, data) : evaluateHelper(helper, one, data);
          assert.equal(BigInt.asIntN(64, result), one.result);
          const changed = one.after ?? toHex(one.before ?? new Uint8Array(0));
          assert.equal(toHex(data.subarray(0, changed.length / 2)), changed);
          assert.ok(
            data.subarray(changed.length / 2).every((byte) => byte === 0xee),
            'the rest is as it was',
          );
        });
      }
    }
  });
}

/** What the interpreter printed by bpf_trace_printk is thrown away: printk.test.ts looks at it. */
function runHelper(helper: Helper, { args }: HelperCase, data: Uint8Array): bigint {
  return helper.run(interpreterWorld(data), args);
}

/** A world with FACTS behind it. */
export function interpreterWorld(data: Uint8Array, print: (text: string) => void = () => undefined): HelperWorld {
  return {
    memory: {
      view(address, size) {
        const at = Number(address - DATA);
        if (at < 0 || at + size > data.length) throw new BadAccess(`no memory at 0x${address.toString(16)}`);
        return data.subarray(at, at + size);
      },
    },
    nowNs: (clock) => THREAD.nowNs + BigInt(clock),
    random32: () => 1,
    tickNs: FACTS.tickNs,
    pidTgid: (BigInt(THREAD.pid) << 32n) | BigInt(THREAD.tid),
    uidGid: (BigInt(THREAD.gid) << 32n) | BigInt(THREAD.uid),
    comm: THREAD.comm,
    cpu: 3,
    functionIp: FUNCTION_IP,
    attachCookie: COOKIE,
    mapLookup: () => 0n,
    mapSizes: () => ({ keySize: 4, valueSize: 4, maxEntries: 4 }),
    mapUpdate: () => 0,
    mapDelete: () => 0,
    mapEach: () => 0,
    callBack: () => assert.fail('no function here'),
    mapHost: () => assert.fail('no map here'),
    withBytes: () => assert.fail('no memory for more here'),
    tailCall: () => assert.fail('no map here'),
    print,
  };
}

class BadAccess extends BpfError {
  override readonly name = 'BadAccess';
  override readonly code = 'TEST_BAD_ACCESS';
}

function evaluateHelper(helper: Helper, one: HelperCase, data: Uint8Array): bigint {
  const ring = new Uint8Array(PRINTK_RING_SIZE);
  return callEmitted(helper, one.args, { ...FACTS, ...one.facts }, targetMemory(data, ring), one.failing);
}

/** The memory of the target: the program's page, the cells that facts name, the thread's, the ring. */
export function targetMemory(data: Uint8Array, ring: Uint8Array): EvaluatorMemory {
  const thread = new Uint8Array(64);
  viewOf(thread).setUint32(FACTS.tidOffset!, THREAD.tid, true);
  return regions(
    { address: DATA, bytes: data },
    { address: CELLS, bytes: new Uint8Array(64) },
    { address: THREAD_POINTER, bytes: thread },
    { address: FACTS.printkRing, bytes: ring },
  );
}

/** What emitters are given, for a target with these facts. */
export function helperContext(facts: TargetFacts): EmitContext {
  const shared = new Map<string, IrFunction>();
  return {
    map: () => assert.fail('no map here'),
    facts,
    functionIp: (b) => b.site({ in: 'constant', value: FUNCTION_IP }),
    call: { arguments: undefined, result: undefined, outcome: undefined, registers: undefined, frame: undefined },
    constantAt: () => assert.fail('no map here'),
    contextIn: () => {
      throw new Error('no context here');
    },
    attachCookie: COOKIE,
    shared(name, paramCount, body) {
      const made = shared.get(name) ?? Builder.function(name, paramCount, body);
      shared.set(name, made);
      return made;
    },
    slot: (b) => b.const(0),
    callBack: () => assert.fail('no function here'),
    goOnIn: () => undefined,
  };
}

/** Emits a call of `helper` and evaluates it. */
export function callEmitted(
  helper: Helper,
  args: readonly bigint[],
  facts: TargetFacts,
  memory: EvaluatorMemory,
  failing: Readonly<Record<number, bigint>> = {},
): bigint {
  const context = helperContext(facts);
  const fn = Builder.function('call', args.length, (b, params) => b.return(helper.emit(b, params, context)));
  return evaluate(fn, {
    args,
    memory,
    site: (source) => (source.in === 'constant' ? source.value : assert.fail('a site value is asked for')),
    threadPointer: THREAD_POINTER,
    cpuNumber: 3n,
    syscall: systemCall(failing),
    callAddress: (address, given, stack) =>
      address === FACTS.clockGettime ? clockGettime(given, stack) : assert.fail('an unknown function is called'),
  });
}
