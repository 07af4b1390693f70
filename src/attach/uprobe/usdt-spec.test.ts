import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPILERS, type Compiler, objectFile } from '../../../tests/support/objects.ts';
import { PtRegs } from '../../arch/x64/pt-regs.ts';
import { readObject } from '../../object/read-object.ts';
import { parseUsdtArguments } from './usdt-arguments.ts';
import { layOutUsdtSpec, specLayoutOf } from './usdt-spec.ts';

const { di, bp, ax, bx } = PtRegs.offsetOf;

function specs(object: string, compiler: Compiler) {
  const { maps, btf } = readObject(objectFile(object, compiler));
  return { spec: maps.find(({ name }) => name === '__bpf_usdt_specs')!, btf };
}

const read = (text: string) => parseUsdtArguments(text, { address: 0n, symbol: () => undefined });

describe('layOutUsdtSpec', () => {
  for (const compiler of COMPILERS) {
    it(`lays arguments where libbpf's header, compiled by ${compiler}, reads them`, () => {
      const { spec, btf } = specs('usdt', compiler);
      const layout = specLayoutOf(spec, btf);
      const view = new DataView(layOutUsdtSpec(layout, read('-4@%edi 2@-16(%rbp) -8@$-9'), 7n).buffer);
      const argument = (at: number) => [
        view.getBigInt64(at, true),
        view.getUint32(at + 8, true),
        view.getUint16(at + 12, true),
        view.getUint8(at + 14),
        view.getUint8(at + 15),
      ];
      assert.deepEqual([0, 16, 32, 48].map(argument), [
        [0n, 1, di, 1, 32],
        [-16n, 2, bp, 0, 48],
        [-9n, 0, 0, 1, 0],
        [0n, 0, 0, 0, 0],
      ]);
      assert.deepEqual([view.byteLength, view.getBigUint64(192, true), view.getInt16(200, true)], [208, 7n, 3]);
    });

    it(`lays them where libbpf 1.7's, compiled by ${compiler}, reads them`, () => {
      const { spec, btf } = specs('usdt-indexed', compiler);
      const view = new DataView(layOutUsdtSpec(specLayoutOf(spec, btf), read('4@$1 -4@8(%rax,%rbx,4)'), 7n).buffer);
      assert.equal(view.byteLength, 304);
      assert.deepEqual(
        [
          view.getBigInt64(24, true),
          view.getUint8(32),
          view.getUint16(34, true),
          view.getUint16(38, true),
          view.getUint8(40),
          view.getUint8(41),
        ],
        [8n, 3, bx | (2 << 12), ax, 1, 32],
      );
      assert.deepEqual([view.getBigUint64(288, true), view.getInt16(296, true)], [7n, 2]);
    });
  }

  it('refuses what the table has no room for', () => {
    const { spec, btf } = specs('usdt', 'clang-19');
    const layout = specLayoutOf(spec, btf);
    const refused = (text: string, message: RegExp) =>
      assert.throws(() => layOutUsdtSpec(layout, read(text), 0n), { code: 'ATTACH_USDT_ARGUMENT', message });
    refused('8@(%rdi,%rsi,8)', /'8@\(%rdi,%rsi,8\)': it is at an index register/);
    refused(Array(13).fill('4@$1').join(' '), /there are 13, at most 12/);
  });

  it('refuses a map that is another', () => {
    const { spec, btf } = specs('usdt', 'clang-19');
    const sums = readObject(objectFile('usdt')).maps.find(({ name }) => name === 'sums')!;
    const code = 'ATTACH_USDT_ARGUMENT';
    assert.throws(() => specLayoutOf(spec, undefined), { code, message: /the object has no types/ });
    assert.throws(() => specLayoutOf(sums, btf), { code, message: /no struct __bpf_usdt_spec/ });
    assert.throws(() => specLayoutOf({ ...spec, valueTypeId: 0 }, btf), { code, message: /no struct/ });
    assert.throws(() => specLayoutOf({ ...spec, valueTypeId: 1 << 30 }, btf), { code });
    assert.throws(() => specLayoutOf({ ...spec, valueSize: 200 }, btf), { code, message: /lie outside/ });
  });
});
