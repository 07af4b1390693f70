/** Fault E7: system calls of code that comes when the program runs already. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readElf } from '../../src/elf/elf-file.ts';
import { openObject, openProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { follow } from '../support/plugins-target.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';
import { numbers } from '../support/tracing-calls.ts';
import { readVariable, writeVariable } from '../support/variables.ts';

const PROGRAMS = ['on_enter', 'on_exit'];
const GETPID = 39;
const CALLS = 100n;
const ROUNDS = 2;

describe('code that comes later', { skip: CANNOT_TRACE }, () => {
  const library = compileTarget('late', ['-DLIBRARY', '-shared', '-fPIC', '-nostdlib']);
  const address = readElf(readFileSync(library)).findSymbol('late_call')!.value;

  for (const [mode, how] of [
    ['loaded', 'a library is loaded, unloaded and loaded again: its calls are seen'],
    ['mapped', 'a file is mapped and then made executable: its calls are seen'],
    ['written', 'code is made at run time: its calls are not seen, and that there is such code is told'],
  ] as const) {
    it(`E7: ${how}`, async () => {
      using running = startTarget(compileTarget('late'), [mode, library, `${address}`]);
      const before = codeHashes(running.pid);
      using target = openProcess(running.pid);
      const get = (variable: string): bigint => readVariable(target, 'late', variable);
      const step = (to: number): void => writeVariable(target, 'late', 'go', BigInt(to));
      const object = openObject(objectFile('syscalls'), { allow: ['override'] });
      const links = PROGRAMS.map((name) => object.program(name).attach(target));
      const known = links.map(({ addresses }) => addresses.length);
      for (let round = 1; round <= ROUNDS; round++) {
        const isFollowed = (): boolean =>
          links.every(({ addresses, codeWithoutFile }, n) =>
            mode === 'written' ? codeWithoutFile > 0 : addresses.length > known[n]!,
          );
        await follow(object, isFollowed, () => step(1));
        step(2);
        waitUntil('it has called', () => get('made') === CALLS * BigInt(round));
        const counts = ['entered', 'left'].map((map) => numbers(object, map)[GETPID]);
        const seen = mode === 'written' ? 0n : CALLS * BigInt(round);
        assert.deepEqual(counts, [seen, seen]);
        for (const { method } of links) assert.equal(method, 'jump');
        step(3);
        waitUntil('it is gone', () => get('there') === 0n);
        await follow(object, () =>
          links.every(({ addresses, codeWithoutFile }, n) => codeWithoutFile === 0 && addresses.length === known[n]),
        );
      }
      object[Symbol.dispose]();
      assert.equal(get('wrong'), 0n);
      const now = codeHashes(running.pid);
      assert.deepEqual(
        Object.keys(before).filter((key) => now[key] !== before[key]),
        [],
      );
    });
  }
});
