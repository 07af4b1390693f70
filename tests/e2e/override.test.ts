/** Programs that change what functions get and return: exactly as asked, and nothing without the user's word. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { OverriddenTarget } from '../support/overridden-target.ts';

const usual = (a: bigint, b: bigint): bigint => (a << 32n) | b;

/** Attaches programs of function-calls.bpf.c, each to where it is said, for as long as `body` runs. */
function withPrograms(
  places: Readonly<Record<string, string>>,
  body: (target: OverriddenTarget, object: BpfObject, process: TargetProcess) => void,
): void {
  using target = new OverriddenTarget();
  const before = codeHashes(target.pid);
  using process = openProcess(target.pid);
  {
    using object = openObject(objectFile('function-calls'), { allow: ['override'] });
    for (const [program, place] of Object.entries(places)) object.program(program).attachTo(process, place);
    body(target, object, process);
  }
  const calls = target.calls;
  assert.equal(target.call(0xabcen, 5n), usual(0xabcen, 5n), 'as before, once it is detached');
  assert.equal(target.calls, calls + 1n);
  assert.equal(target.wrong, 0n);
  assert.deepEqual(codeHashes(target.pid), before);
}

const seen = (object: BpfObject, slot: number): bigint =>
  BigInt.asIntN(64, BigInt(object.map('seen').entries()[slot]!.value as number | string));

describe('override', { skip: CANNOT_TRACE }, () => {
  it('bypasses the function where the program says so, and only there', () => {
    withPrograms({ on_override: 'uprobe.override:overridden:combine' }, (target, object) => {
      assert.equal(target.call(0xabcen, 5n), 0xabd3n);
      assert.equal(target.calls, 0n);
      assert.equal(seen(object, 9), 0xabd3n, 'bpf_get_retval tells what was set');
      assert.equal(target.call(0xabcdn, 5n), usual(0xabcdn, 5n));
      assert.equal(target.calls, 1n);
      assert.deepEqual([seen(object, 9), seen(object, 0)], [0n, 2n]);
    });
  });

  it('may be decided in a function of the program', () => {
    withPrograms({ on_override_in_function: 'uprobe.override:overridden:combine' }, (target) => {
      assert.deepEqual([target.call(99n, 1n), target.call(100n, 1n)], [7n, usual(100n, 1n)]);
    });
  });

  it('leaves every argument as it was, on the stack and in vector registers, when it does nothing', () => {
    withPrograms({ on_override: 'uprobe.override:overridden:many_arguments' }, (target, object) => {
      for (let i = 0n; i < 20n; i++) target.call(i, i);
      assert.equal(target.wrong, 0n);
      assert.equal(seen(object, 0), 20n);
    });
  });

  it('holds in recursion and in several threads at once', () => {
    withPrograms({ on_override: 'uprobe.override:overridden:recursive' }, (target) => {
      target.callFromThreads('overridden');
      assert.equal(target.wrong, 0n);
    });
  });

  it('is seen by return probes as what the function returned', () => {
    const places = {
      on_return: 'uretprobe:overridden:combine',
      on_override: 'uprobe.override:overridden:combine',
    };
    withPrograms(places, (target, object) => {
      assert.equal(target.call(0xabcen, 5n), 0xabd3n);
      assert.deepEqual([seen(object, 4), seen(object, 5)], [1n, 0xabd3n]);
      assert.equal(target.call(1n, 5n), usual(1n, 5n));
      assert.deepEqual([seen(object, 4), seen(object, 5)], [2n, usual(1n, 5n)]);
    });
  });
});

describe('replace', { skip: CANNOT_TRACE }, () => {
  it('never runs the function: the program returns for it', () => {
    withPrograms({ on_replace: 'uprobe.replace:overridden:combine' }, (target, object) => {
      assert.deepEqual([target.call(0xabcen, 5n), target.call(1n, 2n)], [0xabd3n, 3n]);
      assert.deepEqual([target.calls, seen(object, 0)], [0n, 2n]);
    });
  });

  it('returns what bpf_set_retval set', () => {
    withPrograms({ on_replace_set: 'uprobe.replace:overridden:combine' }, (target) => {
      assert.equal(target.call(12n, 5n), 7n);
      assert.equal(target.calls, 0n);
    });
  });
});

describe('writes to the context', { skip: CANNOT_TRACE }, () => {
  it('change what the function gets', () => {
    withPrograms({ on_write_argument: 'uprobe:overridden:combine' }, (target) => {
      assert.deepEqual([target.call(1n, 3n), target.call(1n, 4n)], [usual(1001n, 3n), usual(1n, 4n)]);
    });
  });

  it('change what it returns', () => {
    withPrograms({ on_write_result: 'uretprobe:overridden:combine' }, (target) => {
      assert.equal(BigInt.asIntN(64, target.call(1n, 3n)), -usual(1n, 3n));
    });
  });

  it('are refused where no register is behind the field', () => {
    using target = new OverriddenTarget();
    using process = openProcess(target.pid);
    using object = openObject(objectFile('function-calls'), { allow: ['override'] });
    const attach = () => object.program('on_write_ip').attachUprobe(process, 'overridden:combine');
    assert.throws(attach, { code: 'COMPILE_CONTEXT_WRITE' });
  });
});

describe('the arguments of a call', { skip: CANNOT_TRACE }, () => {
  it('are what bpf_get_func_arg gives', () => {
    withPrograms({ on_arguments: 'uprobe:overridden:combine' }, (target, object) => {
      target.call(11n, 22n);
      assert.deepEqual([seen(object, 10), seen(object, 11)], [11n, 22n]);
      assert.deepEqual([seen(object, 16), seen(object, 17)], [-1n, 6n], 'the seventh is in no register');
      assert.deepEqual([seen(object, 18), seen(object, 19)], [-95n, -95n], 'nothing was returned yet');
    });
  });
});

describe('without the user’s word', { skip: CANNOT_TRACE }, () => {
  for (const [program, place, code] of [
    ['on_override', 'uprobe.override:overridden:combine', 'ATTACH_NOT_ALLOWED'],
    ['on_replace', 'uprobe.replace:overridden:combine', 'ATTACH_NOT_ALLOWED'],
    ['on_write_argument', 'uprobe:overridden:combine', 'COMPILE_NOT_ALLOWED'],
    ['on_write_result', 'uretprobe:overridden:combine', 'COMPILE_NOT_ALLOWED'],
    ['on_override', 'uprobe:overridden:combine', 'COMPILE_NOT_ALLOWED'],
  ] as const) {
    it(`${program} is refused at ${place}`, () => {
      using target = new OverriddenTarget();
      const before = codeHashes(target.pid);
      using process = openProcess(target.pid);
      using object = openObject(objectFile('function-calls'));
      assert.throws(() => object.program(program).attachTo(process, place), { code, fix: /--allow override/ });
      object[Symbol.dispose]();
      assert.equal(target.call(0xabcen, 1n), usual(0xabcen, 1n));
      assert.deepEqual(codeHashes(target.pid), before);
    });
  }
});
