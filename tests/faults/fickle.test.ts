/** K3: attaching against a target that ends, replaces its program, or unloads what is probed, at any moment. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { CANNOT_TRACE, EnteredTarget } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

const PLACES = { exit: ['fickle:work'], exec: ['fickle:work'], unload: ['libm.so.6:cbrt', 'fickle:work'] } as const;

/** What goes wrong has a name: ours, or the system's where the process ended between two looks at it. */
function requireCode(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && !String(error.code).startsWith('ERR_'))) throw error;
}

/** Attaches and detaches until the process has ended. */
function comeAndGo(pid: number, places: readonly string[], hasEnded: () => boolean): number {
  let attached = 0;
  while (!hasEnded()) {
    try {
      using target = openProcess(pid);
      using object = openObject(objectFile('count'));
      for (const place of places) {
        try {
          object.program('on_call').attachUprobe(target, place);
          attached++;
        } catch (error) {
          requireCode(error);
        }
      }
    } catch (error) {
      requireCode(error);
    }
  }
  return attached;
}

describe('a target that does what it likes meanwhile', { skip: CANNOT_TRACE }, () => {
  for (const [mode, places] of Object.entries(PLACES)) {
    it(`K3: ${mode}: it ends as it meant to, whatever the moment`, (t) => {
      let attached = 0;
      for (let round = 0; round < repetitions(4, 200); round++) {
        const microseconds = ((round * 7919) % 50) * 8_000;
        using entered = new EnteredTarget('fickle', [mode, String(microseconds)]);
        const pid = Number(entered.counter('child'));
        {
          using target = openProcess(pid);
          using object = openObject(objectFile('count'));
          const link = object.program('on_call').attachUprobe(target, 'fickle:work');
          waitUntil('it is counted', () => link.hits > 100n);
          target.memory.write(entered.address('go'), Uint8Array.of(1));
          attached += comeAndGo(pid, places, () => entered.counter('ended') === 1n);
        }
        waitUntil('it has ended', () => entered.counter('ended') === 1n);
        assert.equal(entered.counter('status'), 0n, `after ${microseconds} us`);
      }
      t.diagnostic(`attached ${attached} times`);
    });
  }
});
