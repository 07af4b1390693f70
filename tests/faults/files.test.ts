/** Programs and libraries whose files are not where they were, or whose code is not where it usually is. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readElf } from '../../src/elf/elf-file.ts';
import { BpfError, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { CALLED, CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { compilePlugins } from '../support/plugins-target.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from '../support/targets.ts';
import { readVariable, writeVariable } from '../support/variables.ts';

/** Has a target of unusual.c call for a while; how many calls it made. */
function callFor(target: TargetProcess, module: string): bigint {
  const before = readVariable(target, module, 'made');
  writeVariable(target, module, 'go', 1n);
  waitUntil('it calls', () => readVariable(target, module, 'made') > before + 300n);
  writeVariable(target, module, 'go', 0n);
  waitUntil('it stands', () => readVariable(target, module, 'busy') === 0n);
  assert.equal(readVariable(target, module, 'wrong'), 0n);
  return readVariable(target, module, 'made') - before;
}

/** Counts calls of `hit` at its entry and its return; the code is as before afterwards. */
function countCalls(running: RunningTarget, module: string, kinds: readonly string[] = ['uprobe', 'uretprobe']): void {
  const before = codeHashes(running.pid);
  using target = openProcess(running.pid);
  {
    using object = openObject(objectFile('count'));
    const links = kinds.map((kind) => object.program('on_call').attachTo(target, `${kind}:${module}:hit`));
    const made = callFor(target, module);
    assert.deepEqual(
      links.map(({ hits, missed }) => [hits, missed]),
      links.map(() => [made, 0n]),
    );
  }
  assert.deepEqual(codeHashes(running.pid), before);
  callFor(target, module);
}

describe('files that are not there any more', { skip: CANNOT_TRACE }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-files-'));
  after(() => rmSync(folder, { recursive: true }));

  const startCopy = (name: string): { readonly path: string; readonly running: RunningTarget } => {
    const path = join(folder, name);
    copyFileSync(compileTarget('unusual'), path);
    return { path, running: startTarget(path, ['pages']) };
  };

  it('D7: another file has taken the name: symbols are those of the one that is mapped', () => {
    const { path, running } = startCopy('replaced');
    using _running = running;
    copyFileSync(compileTarget('unusual', ['-O0', '-fno-pie', '-no-pie']), `${path}.new`);
    renameSync(`${path}.new`, path);
    countCalls(running, path);
  });

  it('D7: the file was deleted', () => {
    const { path, running } = startCopy('deleted');
    using _running = running;
    rmSync(path);
    countCalls(running, basename(path));
  });

  it('D7: the program never had a file: it was executed from memory', () => {
    using running = startTarget(compileTarget('memfd'), [compileTarget('unusual'), 'pages']);
    countCalls(running, 'memfd:program');
  });
});

/** Why nothing can be laid over a file system here. */
const CANNOT_OVERLAY =
  CANNOT_TRACE ||
  (process.getuid!() !== 0 && 'only root may mount') ||
  (!/\boverlay$/m.test(readFileSync('/proc/filesystems', 'latin1')) && 'the kernel has no overlayfs');

describe('files of a container image', { skip: CANNOT_OVERLAY }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-overlay-'));
  const merged = join(folder, 'merged');
  const path = join(merged, 'unusual');
  // The layers are gone with the target: they are mounted in its own namespace, what is written in memory.
  const script = [
    'mount -t tmpfs tmpfs "$0/writes" && mkdir "$0/writes/upper" "$0/writes/work"',
    'mount -t overlay overlay -o "lowerdir=$0/lower,upperdir=$0/writes/upper,workdir=$0/writes/work" "$0/merged"',
    'exec "$0/merged/unusual" pages',
  ].join(' && ');

  before(() => {
    for (const name of ['lower', 'writes', 'merged']) mkdirSync(join(folder, name));
    copyFileSync(compileTarget('unusual'), join(folder, 'lower', 'unusual'));
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const [what, change] of [
    ['of a lower layer', () => {}],
    ['of a lower layer, the name of which leads to a copy by now', (seen) => chmodSync(seen, 0o700)],
    [
      'of a lower layer, over which another has been laid',
      (seen) => {
        copyFileSync(compileTarget('unusual', ['-O0', '-fno-pie', '-no-pie']), `${seen}.new`);
        renameSync(`${seen}.new`, seen);
      },
    ],
    ['of a lower layer, and deleted', (seen) => rmSync(seen)],
  ] as readonly (readonly [string, (seen: string) => void])[]) {
    it(`D7: the file is one ${what}`, () => {
      using running = startTarget('unshare', ['--mount', 'sh', '-c', script, folder]);
      change(`/proc/${running.pid}/root${path}`);
      countCalls(running, path);
    });
  }
});

describe('programs of every kind', { skip: CANNOT_TRACE }, () => {
  for (const [what, flags, compiler, kinds] of [
    ['static', ['-static'], 'gcc', ['uprobe']],
    ['static and position-independent', ['-static-pie'], 'gcc', ['uprobe']],
    ['not position-independent', ['-no-pie'], 'gcc', ['uprobe', 'uretprobe']],
    ['stripped, with exported functions', ['-s', '-rdynamic'], 'gcc', ['uprobe', 'uretprobe']],
    ["musl's", [], 'musl-gcc', ['uprobe', 'uretprobe']],
    ["musl's, and static", ['-static'], 'musl-gcc', ['uprobe']],
  ] as const) {
    it(`D8: is ${what}`, () => {
      const path = compileTarget('unusual', flags, compiler);
      using running = startTarget(path, ['pages']);
      countCalls(running, basename(path), kinds);
    });
  }

  const refusal = (code: string, why: RegExp) => (error: unknown) =>
    error instanceof BpfError && error.code === code && why.test(`${error.message} ${error.why}`);

  /** What attaching to a place says; the target works before and after. */
  const refused = (mode: string, args: readonly string[], place: string, code: string, why: RegExp): void => {
    const path = compileTarget('unusual');
    using running = startTarget(path, [mode, ...args]);
    const before = codeHashes(running.pid);
    using target = openProcess(running.pid);
    {
      using object = openObject(objectFile('count'));
      assert.throws(() => object.program('on_call').attachUprobe(target, place), refusal(code, why));
      // All else can be probed.
      const link = object.program('on_call').attachUprobe(target, 'unusual:behind');
      callFor(target, 'unusual');
      assert.equal(link.hits, 0n);
    }
    assert.deepEqual(codeHashes(running.pid), before);
  };

  it('D8: has code that it made itself: no file has a name for it', () => {
    refused('jit', [], '[anon]:hit', 'PROCESS_MODULE_NOT_FOUND', /the process maps no such file/);
  });

  it('D8: has moved its code to memory without a file', () => {
    refused('huge', [], 'unusual:hit', 'PROCESS_SYMBOL_NOT_FOUND', /no code of the file any more/);
  });

  it('D8: has mapped its code shared: a change would be one of the file', () => {
    const [library] = compilePlugins();
    const elf = readElf(readFileSync(library));
    const address = elf.findSymbol('plugin_work')!.value;
    refused('shared', [library, `${address}`], `${library}:plugin_work`, 'ATTACH_SITE_SHARED', /every process/);
  });
});

describe('thread pointers', { skip: CANNOT_TRACE }, () => {
  it('B5: are changed by the program, in the middle of probed functions too', () => {
    const path = compileTarget('unusual');
    using running = startTarget(path, ['tls']);
    using target = openProcess(running.pid);
    using object = openObject(objectFile('count'));
    const attach = (place: string) => object.program('on_call').attachTo(target, place);
    const links = [
      'uprobe:unusual:hit',
      'uprobe:unusual:switching',
      'uretprobe:unusual:hit',
      'uretprobe:unusual:switching',
    ].map(attach);
    const made = callFor(target, 'unusual');
    assert.deepEqual(
      links.map(({ hits, missed }) => hits + missed),
      [made, 2n * made, made, 2n * made],
    );
    object[Symbol.dispose]();
    callFor(target, 'unusual');
  });

  for (const [what, flags, compiler, returns] of [
    ['a static program', ['-static'], 'gcc', () => []],
    ["musl's", [], 'musl-gcc', (name: string) => [`uretprobe:${name}:work_push`]],
    ["a static program of musl's", ['-static'], 'musl-gcc', () => []],
  ] as const) {
    it(`B5: are those of ${what}: calls of four threads are counted`, () => {
      using calls = new CallsTarget(4, [], compileTarget('calls', flags, compiler));
      using target = openProcess(calls.pid);
      using object = openObject(objectFile('count'));
      const places = [
        ...CALLED.map((name) => `uprobe:${basename(calls.path)}:${name}`),
        ...returns(basename(calls.path)),
      ];
      const links = places.map((place) => object.program('on_call').attachTo(target, place));
      calls.call(2000);
      assert.deepEqual(
        links.map(({ hits, missed }) => hits + missed),
        links.map(() => 8000n),
      );
      assert.equal(calls.wrong, 0n);
    });
  }
});
