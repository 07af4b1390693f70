/** System calls at the command line: which there are, from where in a process they are seen, and what a session says of it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { jsonLines, remora } from '../support/cli.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { FailingTarget } from '../support/failing-target.ts';
import { ROOT } from '../support/root.ts';

interface Line {
  readonly type: string;
  readonly syscall: string;
  readonly number: number;
  readonly method: string | null;
  readonly sites: number;
  readonly sites_own: number;
  readonly sites_unreached: number;
  readonly places: readonly { readonly number: number | null; readonly method: string | null }[];
  readonly data: {
    readonly links: readonly { readonly program: string; readonly sites: number; readonly sites_unreached: number }[];
  };
}

async function lines(...args: readonly string[]): Promise<readonly Line[]> {
  const { code, stdout, stderr } = await remora([...args, '--json']);
  assert.equal(code, 0, stderr);
  return jsonLines(stdout) as Line[];
}

describe('remora list of system calls', () => {
  it('lists names and numbers that match', async () => {
    const found = await lines('list', 'syscall:openat*');
    assert.deepEqual(
      found.map(({ syscall, number }) => [syscall, number]),
      [
        ['openat', 257],
        ['openat2', 437],
      ],
    );
  });

  it('suggests names where none matches', async () => {
    const { code, stderr, stdout } = await remora(['list', 'syscall:opennat']);
    assert.deepEqual([code, stdout], [4, '']);
    assert.match(stderr, /did you mean 'openat'/);
  });
});

describe('the places of a system call in a process', { skip: CANNOT_TRACE }, () => {
  it('are as many in list and explain as a session attaches to', async () => {
    using target = new FailingTarget();
    const pid = String(target.pid);
    const [listed] = await lines('list', 'syscall:mmap', '-p', pid);
    const [explained] = await lines('explain', 'syscall:mmap', '-p', pid);
    const object = join(ROOT, 'tests/objects/clang-19/syscalls.bpf.o');
    const [attached] = await lines('load', object, '-p', pid, '--allow', 'override', '--duration', '10ms');
    const link = attached!.data.links.find(({ program }) => program === 'on_enter_mmap')!;
    assert.ok(listed!.sites_own >= 2, 'in the C library and in its linker');
    const { places, method } = explained!;
    assert.deepEqual([method, explained!.sites, explained!.sites_own], ['jump', listed!.sites, listed!.sites_own]);
    assert.ok(places.every(({ number }) => number === 9 || number === null));
    assert.equal(places.filter((place) => place.method === 'jump').length, listed!.sites);
    assert.equal(listed!.sites_unreached, 0);
    assert.deepEqual([link.sites, link.sites_unreached], [listed!.sites, 0]);
  });
});
