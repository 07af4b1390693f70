/**
 * What an attach runtime is asked for, one test each: the cases that the field's tests of uprobe, uretprobe, override and
 * replace agree on, with their numbers.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfLink, type BpfObject, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { OverriddenTarget } from '../support/overridden-target.ts';

const [A, B] = [2333n, 6666n];
const SUM = A * 2n + B;
const combined = (a: bigint, b: bigint): bigint => (a << 32n) | b;

/** Slots of `seen` in function-calls.bpf.c. */
const Seen = { entries: 0, arg1: 1, arg2: 2, entryIp: 3, returns: 4, returned: 5 } as const;

interface Scene {
  readonly target: OverriddenTarget;
  readonly object: BpfObject;
  attach(program: string, place: string): BpfLink;
  seen(what: keyof typeof Seen): bigint;
}

/** Runs `body` on a live target; after that the code must be what it was. */
function play(body: (scene: Scene) => void): void {
  using target = new OverriddenTarget();
  const before = codeHashes(target.pid);
  using process: TargetProcess = openProcess(target.pid);
  {
    using object = openObject(objectFile('function-calls'), { allow: ['override'] });
    body({
      target,
      object,
      attach: (program, place) => object.program(program).attachTo(process, `${place.replace(':', ':overridden:')}`),
      seen: (what) => BigInt(object.map('seen').entries()[Seen[what]]!.value as number | string),
    });
  }
  assert.deepEqual(codeHashes(target.pid), before);
}

describe('the behaviour of attached programs', { skip: CANNOT_TRACE }, () => {
  it('uprobe: called once a call, with its arguments, and the result is unchanged', () => {
    play(({ target, attach, seen }) => {
      attach('on_entry', 'uprobe:sum');
      target.call(A, B);
      assert.deepEqual([seen('entries'), seen('arg1'), seen('arg2'), target.sum], [1n, A, B, SUM]);
    });
  });

  it('uprobe: a second one on the same function: both are called', () => {
    play(({ target, attach, seen }) => {
      const links = [attach('on_entry', 'uprobe:sum'), attach('on_entry', 'uprobe:sum')];
      target.call(A, B);
      assert.deepEqual([links[0]!.hits, links[1]!.hits, seen('entries'), target.sum], [1n, 1n, 2n, SUM]);
    });
  });

  it('uprobe: detached, nothing is called and the result is right', () => {
    play(({ target, attach, seen }) => {
      const link = attach('on_entry', 'uprobe:sum');
      link.detach();
      target.call(A, B);
      assert.deepEqual([link.hits, seen('entries'), target.sum], [0n, 0n, SUM]);
    });
  });

  it('uprobe: bpf_get_func_ip is the address of the function', () => {
    play(({ target, attach, seen }) => {
      const link = attach('on_entry', 'uprobe:sum');
      target.call(A, B);
      assert.equal(seen('entryIp'), link.address);
    });
  });

  it('uretprobe: sees what the function returned', () => {
    play(({ target, attach, seen }) => {
      attach('on_return', 'uretprobe:sum');
      target.call(A, B);
      assert.deepEqual([seen('returns'), seen('returned'), target.sum], [1n, SUM, SUM]);
    });
  });

  it('uretprobe: two of them both see it', () => {
    play(({ target, attach, seen }) => {
      const links = [attach('on_return', 'uretprobe:sum'), attach('on_return', 'uretprobe:sum')];
      target.call(A, B);
      assert.deepEqual([links[0]!.hits, links[1]!.hits, seen('returns'), seen('returned')], [1n, 1n, 2n, SUM]);
    });
  });

  it('uprobe and uretprobe on one function: exactly one of each a call', () => {
    play(({ target, attach, seen }) => {
      attach('on_entry', 'uprobe:sum');
      attach('on_return', 'uretprobe:sum');
      for (let call = 1n; call <= 10n; call++) {
        target.call(A, B);
        assert.deepEqual([seen('entries'), seen('returns'), target.sum], [call, call, SUM]);
      }
    });
  });

  it('override: sets a + b only when a is 0xabce, else the original runs', () => {
    play(({ target, attach }) => {
      attach('on_override', 'uprobe.override:combine');
      assert.deepEqual([target.call(0xabcen, B), target.calls], [0xabcen + B, 0n]);
      assert.deepEqual([target.call(A, B), target.calls], [combined(A, B), 1n]);
    });
  });

  it('replace: the program runs always, the function never', () => {
    play(({ target, attach }) => {
      attach('on_replace', 'uprobe.replace:combine');
      assert.deepEqual([target.call(0xabcen, B), target.call(A, B), target.calls], [0xabcen + B, A + B, 0n]);
    });
  });

  for (const [program, kind] of [
    ['on_override', 'uprobe.override'],
    ['on_replace', 'uprobe.replace'],
  ] as const) {
    it(`${kind}: detached, it is not called and the original result is back`, () => {
      play(({ target, attach, seen }) => {
        const link = attach(program, `${kind}:combine`);
        link.detach();
        assert.equal(target.call(0xabcen, B), combined(0xabcen, B));
        assert.deepEqual([link.hits, seen('entries'), target.calls], [0n, 0n, 1n]);
      });
    });
  }

  it('private data without a function is refused, and nothing is attached', () => {
    play(({ target, object, attach }) => {
      assert.throws(() => attach('on_entry', 'uprobe:'), { code: 'ATTACH_BAD_TARGET' });
      target.call(A, B);
      assert.deepEqual([target.sum, target.sumCalls, object.map('seen').entries()[0]!.value], [SUM, 1n, 0]);
    });
  });
});
