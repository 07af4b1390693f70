/** An attach type that the package does not have: written here, outside src/, registered and used through the public API. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  type AttachContext,
  type AttachEntry,
  AttachError,
  type AttachImpl,
  type AttachKind,
  type EbpfCallback,
  emitTrampoline,
  type Injection,
  openObject,
  openProcess,
  PtRegs,
  ptRegsAtEntry,
} from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { ROOT } from '../support/root.ts';

const NOP = 0x90;
const JUMP_SIZE = 5;

/** "When a thread comes to the five single-byte nops at this address": what compilers leave for patching. */
class NopSlotImpl implements AttachImpl<bigint> {
  readonly kinds: readonly AttachKind[] = [
    { type: 5000, name: 'nop slot', sections: ['nops'], context: PtRegs, helpers: [] },
  ];
  readonly #injection: Injection;

  constructor(injection: Injection) {
    this.#injection = injection;
  }

  parsePrivateData(text: string): bigint {
    if (!/^0x[0-9a-f]{1,16}$/.test(text)) throw new AttachError('ATTACH_BAD_TARGET', `${text} is no address`);
    return BigInt(text);
  }

  createAttach(_kind: AttachKind, site: bigint, callback: EbpfCallback): AttachEntry {
    const injection = this.#injection;
    const original = injection.process.memory.read(site, JUMP_SIZE);
    if (original.some((byte) => byte !== NOP)) throw new AttachError('ATTACH_BAD_TARGET', 'there are no nops');
    const functionIp = { in: 'constant', value: site } as const;
    const program = callback.compile({ struct: PtRegs, fields: ptRegsAtEntry(site), functionIp }, site);
    const { origin, result: moves } = injection.layCode(site, (at) => {
      const { bytes, moves } = emitTrampoline([program], { origin: at, window: original, site });
      return { bytes, result: moves };
    });
    const wanted = Buffer.alloc(JUMP_SIZE, 0xe9);
    wanted.writeInt32LE(Number(origin - site) - JUMP_SIZE, 1);
    injection.patch({ address: site, original, wanted, moves });
    return {
      target: `0x${site.toString(16)}`,
      address: site,
      method: 'nops',
      detach: () => injection.patch({ address: site, original, wanted: original, moves: new Map() }),
    };
  }
}

describe('an attach type of a third party', () => {
  it('is registered beside the built-in ones, and attached through', () => {
    using target = new CallsTarget(4);
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    const { address } = process.resolveFunction(process.findModule('calls'), 'work_nops');
    using object = openObject(readFileSync(join(ROOT, 'tests/objects/clang-14/count.bpf.o')), {
      setup: (context: AttachContext, injection: Injection) => context.register(new NopSlotImpl(injection)),
    });
    const places = new Map([['on_call', `nops:0x${address.toString(16)}`]]);
    const [link] = object.attachAll(process, places).links;
    target.call(2500);
    assert.equal(link!.hits, 10_000n);
    assert.deepEqual([link!.kind, link!.method, link!.address], ['nop slot', 'nops', address]);
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 10_000 }]);
    object[Symbol.dispose]();
    assert.equal(target.wrong, 0n);
    assert.deepEqual(codeHashes(target.pid), before);
  });
});
