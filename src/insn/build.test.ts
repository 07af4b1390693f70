import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble } from './assemble.ts';
import * as build from './build.ts';
import type { Insn } from './insn.ts';

const { R } = build;

describe('build', () => {
  for (const [text, insn] of [
    ['mov r1, 5', build.mov(1, 5)],
    ['mov r1, r2', build.mov(1, R(2))],
    ['add r1, -5', build.add(1, -5)],
    ['smod32 r1, r2', build.alu('smod', 1, R(2), 32)],
    ['neg32 r1', build.neg(1, 32)],
    ['movsx1632 r1, r2', build.movsx(1, 2, 16, 32)],
    ['swap32 r1', build.endian('swap', 1, 32)],
    ['lddw r1, 0xfedcba9876543210', build.lddw(1, 0xfedc_ba98_7654_3210n)],
    ['ldxh r1, [r2-6]', build.load(2, 1, 2, -6)],
    ['ldxsw r1, [r2+4]', build.loadSigned(4, 1, 2, 4)],
    ['stb [r1+1], 7', build.store(1, 1, 1, 7)],
    ['stxdw [r10-8], r1', build.store(8, 10, -8, R(1))],
    ['lock and32 [r1+0], r2', build.atomic('and', 4, 1, 0, 2)],
    ['lock fetch and [r1+0], r2', build.atomic('and', 8, 1, 0, 2, 'fetch')],
    ['lock cmpxchg [r1+0], r2', build.atomic('cmpxchg', 8, 1, 0, 2)],
    ['ja -3', build.jump(-3)],
    ['jsle32 r1, r2, +9', build.branch('jsle', 1, R(2), 9, 32)],
    ['call 5', build.call(5)],
    ['call local +2', build.callLocal(2)],
    ['call r3', build.callRegister(3)],
    ['exit', build.exit()],
  ] satisfies [string, Insn][]) {
    it(`makes ${text}`, () => assert.deepEqual([insn], assemble(text)));
  }
});
