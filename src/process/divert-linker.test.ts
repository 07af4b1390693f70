import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { fromHex } from '../bytes/hex.ts';
import { findEntryWord, readAuxiliaryVector } from '../sys/auxiliary-vector.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import { readLinkerStart } from './divert-linker.ts';

for (const [what, code, call] of [
  ['glibc 2.36', '4889e7 e8f80b0000 4989c4', { callee: 0x1c00n, returnsTo: 0x1008n }],
  ['glibc with endbr64', 'f30f1efa 4889e7 e8f80b0000 4989c4', { callee: 0x1c04n, returnsTo: 0x100cn }],
  ['a call backwards', '4889e7 e8f8ffffff 4989c4', { callee: 0x1000n, returnsTo: 0x1008n }],
  ['musl', '4831ed 4889e7 488d35e3b70900 4883e4f0 e800000000', undefined],
  ['one that does not keep what is returned', '4889e7 e8f80b0000 4989c5', undefined],
  ['the end of a mapping', '4889e7 e8f80b', undefined],
  ['nothing', '', undefined],
] as const) {
  it(`the start of a linker: ${what}`, () => {
    assert.deepEqual(readLinkerStart(fromHex(code)!, 0x1000n), call);
  });
}

it('the entry that a program is told stands on its stack', () => {
  const stat = readFileSync(`/proc/${process.pid}/stat`, 'latin1');
  const startStack = BigInt(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[25]!);
  using memory = new ProcessMemory(process.pid);
  assert.equal(findEntryWord(memory, startStack).value, readAuxiliaryVector(process.pid).entry);
});
