/** Static probes on a live process: arguments of every kind by libbpf's own header, semaphores, flags and red zone kept. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';
import { readVariable, writeVariable } from '../support/variables.ts';

/** Each animal is fed once, and those with odd food pass a second place. */
const FEEDS = 1000;
const FED = FEEDS * 1.5;
const NUMBERS = Array.from({ length: FEEDS }, (_, n) => BigInt(n));

const start = () => startTarget(compileTarget('usdt'));

const semaphore = (target: TargetProcess) => readVariable(target, 'usdt', 'zoo_fed_semaphore', 2);

/** Has every probe passed by all animals; the result is what the target computed by the way. */
function feed(target: TargetProcess): bigint {
  const go = readVariable(target, 'usdt', 'go') + 1n;
  writeVariable(target, 'usdt', 'go', go);
  waitUntil('all were fed', () => readVariable(target, 'usdt', 'done') === go);
  return BigInt.asIntN(64, readVariable(target, 'usdt', 'sum'));
}

/** The words of struct sums for one probe. */
function sumsOf(object: BpfObject, key: number) {
  const words = new BigInt64Array(Uint8Array.from(object.map('sums').lookup(key)!).buffer);
  const [passed, ...rest] = words;
  return { passed, arguments: [...rest.slice(0, 12)], count: rest[12], cookie: rest[13], refused: rest[14] };
}

const total = (numbers: readonly bigint[]) =>
  BigInt.asIntN(
    64,
    numbers.reduce((sum, number) => sum + number, 0n),
  );

describe('a static probe', () => {
  for (const compiler of COMPILERS) {
    it(`gives its arguments to what ${compiler} made of libbpf's header`, () => {
      using running = start();
      const before = codeHashes(running.pid);
      using target = openProcess(running.pid);
      using object = openObject(objectFile('usdt', compiler));
      assert.equal(semaphore(target), 0n);
      const sum = feed(target);
      const link = object.program('on_fed').attach(target, { cookie: 11n });
      assert.equal(link.target, 'usdt:zoo:fed');
      assert.equal(semaphore(target), 2n, 'one for each of the two places');
      assert.equal(feed(target), sum);
      assert.equal(link.hits, BigInt(FED));
      // 0 + 1 + ... + 999, and once more for the odd ones
      const food = (FEEDS * (FEEDS - 1)) / 2 + 250_000;
      assert.deepEqual(sumsOf(object, 0), {
        passed: BigInt(FED),
        arguments: [-food, food, -3 * FED, 7 * FED, 0, 0, 0, 0, 0, 0, 0, 0].map(BigInt),
        count: BigInt(4 * FED),
        cookie: BigInt(11 * FED),
        refused: BigInt(FED),
      });
      link.detach();
      assert.equal(semaphore(target), 0n);
      assert.equal(feed(target), sum);
      assert.equal(link.hits, BigInt(FED));
      object[Symbol.dispose]();
      assert.deepEqual(codeHashes(running.pid), before);
    });

    it(`with twelve arguments of every kind gives all of them to what ${compiler} made`, () => {
      using running = start();
      using target = openProcess(running.pid);
      using object = openObject(objectFile('usdt', compiler));
      const sum = feed(target);
      const link = object.program('on_dozen').attach(target);
      assert.equal(feed(target), sum);
      assert.equal(link.hits, BigInt(FEEDS));
      const times = (number: bigint) => number * BigInt(FEEDS);
      assert.deepEqual(sumsOf(object, 1), {
        passed: BigInt(FEEDS),
        arguments: [
          total(NUMBERS.map((n) => -n)),
          total(NUMBERS.map((n) => n << 33n)),
          total(NUMBERS.map((n) => n & 0x7fn)),
          times(-128n),
          total(NUMBERS),
          times(-9n),
          times(7n),
          total(NUMBERS.map((n) => n | (-n << 48n))),
          total(NUMBERS.map((n) => -n)),
          times(11n),
          total(NUMBERS.map((n) => n * n)),
          times(-3n),
        ],
        count: times(12n),
        cookie: 0n,
        refused: times(1n),
      });
    });

    it(`gives arguments at index registers to what ${compiler} made of libbpf 1.7's table`, () => {
      using running = start();
      using target = openProcess(running.pid);
      using object = openObject(objectFile('usdt-indexed', compiler));
      object.attachAll(target);
      feed(target);
      const cells = [100n, -1n, -20n, -300n, 4000n, 7n];
      const pair = (low: bigint, high: bigint) => BigInt.asUintN(32, low) | (high << 32n);
      assert.deepEqual(
        [0, 1, 2, 3].map((key) => new BigInt64Array(Uint8Array.from(object.map('sums').lookup(key)!).buffer)[0]),
        [
          total(NUMBERS.map((n) => cells[1 + Number(n & 3n)]!)),
          total(NUMBERS.map((n) => (n & 1n ? pair(-20n, -300n) : pair(100n, -1n)))),
          BigInt(FEEDS),
          BigInt(2 * FEEDS),
        ],
      );
    });
  }

  it('has its semaphore counted by every place and every link', () => {
    using running = start();
    using target = openProcess(running.pid);
    using object = openObject(objectFile('usdt'));
    const listeners: bigint[] = [];
    const note = <T>(value: T): T => {
      listeners.push(semaphore(target));
      return value;
    };
    const fed = note(object.program('on_fed').attach(target));
    const dozen = note(object.program('on_dozen').attach(target));
    const again = note(object.program('on_fed').attach(target));
    note(fed.detach());
    note(fed.detach());
    note(dozen.detach());
    note(again.detach());
    assert.deepEqual(listeners, [2n, 3n, 5n, 3n, 3n, 2n, 0n]);
  });

  it('that cannot be attached leaves semaphores and code as they were', () => {
    using running = start();
    const before = codeHashes(running.pid);
    using target = openProcess(running.pid);
    using object = openObject(objectFile('usdt'));
    const attach = () =>
      object.attachAll(
        target,
        new Map([
          ['on_dozen', 'usdt:usdt:zoo:indexed'],
          ['on_gc_start', 'usdt:usdt:zoo:idle'],
          ['on_gc_done', 'usdt:usdt:zoo:idle'],
        ]),
      );
    assert.throws(attach, {
      code: 'ATTACH_USDT_ARGUMENT',
      message: /'-4@4\(%rsi,%rax,4\)': it is at an index register/,
      fix: /version 1\.7/,
    });
    assert.equal(semaphore(target), 0n);
    object[Symbol.dispose]();
    assert.deepEqual(codeHashes(running.pid), before);
  });

  it('with an argument in a vector register is refused by its name', () => {
    using running = start();
    using target = openProcess(running.pid);
    using object = openObject(objectFile('usdt'));
    assert.throws(() => object.program('on_fed').attachTo(target, 'usdt:usdt:zoo:measured'), {
      code: 'ATTACH_USDT_ARGUMENT',
      message: "cannot find argument '8@%xmm0': xmm0 is a vector register, which pt_regs does not hold",
    });
  });

  it('can be passed by a program that asks for no arguments', () => {
    using running = start();
    using target = openProcess(running.pid);
    using object = openObject(join(ROOT, 'examples/count-calls.bpf.o'));
    const { links } = object.attachAll(target, new Map([['on_call', 'usdt:usdt:zoo:idle']]));
    feed(target);
    assert.equal(links[0]!.hits, BigInt(FEEDS));
  });

  it('that does not exist is refused with those that do', () => {
    using running = start();
    using target = openProcess(running.pid);
    using object = openObject(objectFile('usdt'));
    const attach = (place: string) => () => object.program('on_fed').attachTo(target, place);
    assert.throws(attach('usdt:usdt:zoo:starved'), {
      code: 'ATTACH_NO_USDT',
      fix: 'it has zoo:fed, zoo:idle, zoo:dozen, zoo:indexed, zoo:measured',
    });
    assert.throws(attach('usdt:usdt:zoo'), { code: 'ATTACH_BAD_TARGET' });
  });

  it("of python3 tells of its collections of garbage, and python's own answer is the same", () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-'));
    const go = join(folder, 'go');
    const script = `import gc, os, time
gc.disable()
class Loop: pass
def leave():
    loop = Loop()
    loop.itself = loop
os.write(3, b'ready\\n'); os.close(3)
while not os.path.exists('${go}'): time.sleep(0.001)
found = 0
for n in range(300):
    for _ in range(n % 5): leave()
    found += gc.collect(n % 3)
print(found, flush=True)
time.sleep(600)`;
    try {
      using running = startTarget('/usr/bin/python3', ['-S', '-c', script]);
      using target = openProcess(running.pid);
      using object = openObject(objectFile('usdt'));
      object.program('on_gc_start').attach(target);
      object.program('on_gc_done').attach(target);
      writeFileSync(go, '');
      waitUntil('it has collected', () => running.output().endsWith('\n'));
      const { passed, arguments: sums } = sumsOf(object, 2);
      assert.deepEqual([passed, sums[0], sums[1]], [300n, 300n, BigInt(running.output().trim())]);
      assert.ok(sums[1]! >= 600n);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
