import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { compileTarget } from '../../tests/support/targets.ts';
import { readElf } from './elf-file.ts';
import { readStaticProbes } from './stapsdt.ts';

describe('readStaticProbes', () => {
  it('reads the notes of a program', () => {
    const elf = readElf(readFileSync(compileTarget('usdt')));
    // The program has more, for other tests.
    const probes = [...readStaticProbes(elf)].filter(({ name }) => name === 'fed' || name === 'idle');
    assert.deepEqual(
      probes.map(({ provider, name, args }) => `${provider}:${name} ${args}`.trim()),
      ['zoo:fed -4@%edi 8@%rsi -2@-40(%rsp) 4@$7', 'zoo:fed -4@%edi 8@%rsi -2@$-3 4@$7', 'zoo:idle'],
    );
    const semaphore = elf.findSymbol('zoo_fed_semaphore')?.value;
    assert.deepEqual(
      probes.map((probe) => probe.semaphore),
      [semaphore, semaphore, undefined],
    );
    const feed = elf.findSymbol('feed')!;
    for (const { address } of probes) {
      assert.ok(address > feed.value && address < feed.value + BigInt(feed.size));
      assert.equal(elf.bytesAt(address, 1)[0], 0x90);
    }
  });

  it('finds none in a program without', () => {
    assert.deepEqual([...readStaticProbes(readElf(readFileSync(compileTarget('sites'))))], []);
  });
});
