import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CANNOT_TRACE } from '../../tests/support/entered.ts';
import { compileTarget, startTarget } from '../../tests/support/targets.ts';
import { lastingMemory } from './lasting-memory.ts';
import { openProcess } from './target-process.ts';

/** A program of tests/targets, how it is linked, and whether its variables last. */
const CASES = [
  ['named', [], true, 'a program that cannot protect memory'],
  ['reads', [], false, 'a program that protects memory'],
  ['named', ['-static'], false, 'a program that is linked statically'],
  ['named', ['-static-pie', '-fPIE'], false, 'one that can lie anywhere, too'],
] as const;

describe('memory that lasts', { skip: CANNOT_TRACE }, () => {
  for (const [name, flags, lasts, what] of CASES) {
    it(`of ${what}: constants and the stack, ${lasts ? 'and' : 'not'} variables; no code, libraries or heap`, () => {
      const path = compileTarget(name, flags);
      using target = startTarget(path);
      using process = openProcess(target.pid);
      const module = process.findModule(path);
      const ranges = lastingMemory(process);
      const holds = (address: bigint) => ranges.some(({ start, end }) => address >= start && address < end);
      assert.ok(holds(module.start), 'what the file begins with');
      assert.equal(holds(module.bias + module.elf.findSymbol('__bss_start')!.value), lasts);
      let last = 0n;
      for (const { start, end } of ranges) {
        assert.ok(start > last && end > start, 'in order, and apart');
        last = end;
      }
      for (const { start, end, permissions, path: mapped } of process.mappings()) {
        const isProgram = mapped === '' || mapped === path || mapped === '[heap]';
        if (mapped === '[stack]') assert.ok(holds(start) && holds(end - 1n));
        else if (!isProgram || permissions[2] === 'x' || permissions[0] !== 'r') assert.ok(!holds(start), mapped);
      }
    });
  }
});
