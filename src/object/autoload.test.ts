/** Which programs of an object are loaded, by their sections and by what is asked for. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPILERS, objectFile } from '../../tests/support/objects.ts';
import { type Autoload, selectPrograms } from './autoload.ts';
import { surveyObject } from './read-object.ts';

/** An object with one program, which uses nothing. */
const survey = surveyObject(objectFile('empty'));
const isWanted = (section: string): boolean =>
  selectPrograms({ ...survey, programs: [{ ...survey.programs[0]!, section }] }, {}).leftOut.length === 0;

describe('programs of sections', () => {
  const ours = [
    'uprobe',
    'uprobe/libc.so.6:malloc',
    'uprobe//usr/bin/bash:readline',
    'uretprobe.s/libc:malloc',
    'uprobe.multi/libc:*alloc*',
    'usdt/libc:a:b',
    'tracepoint',
    'tracepoint/syscalls/sys_enter_openat',
    'tp/raw_syscalls/sys_exit',
    'raw_tp/sys_enter',
    'raw_tracepoint/sys_exit',
    'ksyscall/openat',
    'kretsyscall/openat',
    'ksyscall/oepnat',
    'a.third.party/place',
  ];
  const kernels = [
    'kprobe/do_exit',
    'kretprobe',
    'fentry/do_exit',
    'fexit.s/do_exit',
    'tp_btf/sched_switch',
    'tracepoint/sched/sched_switch',
    'tp/kmem/kmalloc',
    'raw_tp/sched_switch',
    'raw_tracepoint.w/sys_enter',
    'perf_event',
    'xdp',
    'cgroup/connect4',
  ];
  const foreign = [
    'tracepoint/syscalls/sys_enter_arm_sync_file_range',
    'tp/syscalls/sys_exit_mmap2',
    'ksyscall/waitpid',
  ];
  for (const section of ours) it(`${section}: are attached`, () => assert.ok(isWanted(section)));
  for (const section of kernels) it(`${section}: are the kernel's`, () => assert.ok(!isWanted(section)));
  for (const section of foreign) it(`${section}: are other architectures'`, () => assert.ok(!isWanted(section)));
});

it('maps that no program uses are left out if only the kernel has such', () => {
  const numbers = { keySize: 4, valueSize: 4, maxEntries: 1, flags: 0, keyTypeId: 0, valueTypeId: 0 };
  const maps = [
    ['array', 2],
    ['sockmap', 15],
    ['nobody has', 99],
  ].map(([name, type]) => ({ ...numbers, name: name as string, type: type as number }));
  assert.deepEqual(
    selectPrograms({ ...survey, maps }, {}).maps.map(({ name }) => name),
    ['array', 'nobody has'],
  );
});

it('a name that every object of JavaScript has is nothing that was asked for', () => {
  const program = { ...survey.programs[0]!, name: 'constructor', section: 'kprobe/do_exit' };
  const { programs, leftOut } = selectPrograms({ ...survey, programs: [program] }, {});
  assert.deepEqual([programs.length, leftOut.length], [1, 1]);
});

for (const compiler of COMPILERS) {
  describe(`programs of an object of ${compiler}, by what is asked for`, () => {
    const select = (autoload: Autoload) => {
      const { programs, maps, leftOut } = selectPrograms(surveyObject(objectFile('mixed', compiler)), autoload);
      return [programs, maps, leftOut].map((all) => all.map(({ name }) => name).join(' '));
    };
    const rows: readonly (readonly [string, Autoload, programs: string, maps: string, leftOut: string])[] = [
      ['nothing', {}, 'on_work on_exit', 'counts kernels unused', 'on_exit on_exit_code on_push'],
      ['one more', { on_push: true }, 'on_work on_exit on_push', 'counts kernels unused', 'on_exit on_exit_code'],
      ["not the kernel's", { on_exit: false }, 'on_work', 'counts unused', 'on_exit on_exit_code on_push'],
      ["the kernel's", { on_exit: true }, 'on_work on_exit', 'counts kernels unused', 'on_exit_code on_push'],
      ['one less', { on_work: false }, 'on_exit', 'counts kernels unused', 'on_work on_exit on_exit_code on_push'],
    ];
    for (const [what, autoload, ...expected] of rows)
      it(what, () => assert.deepEqual(select(autoload).map(sorted), expected.map(sorted)));

    it('a program that is not there is refused', () =>
      assert.throws(() => select({ nobody: true }), { code: 'OBJECT_NO_PROGRAM' }));
  });
}

/** In whatever order compilers put sections. */
function sorted(names: string): string {
  return names.split(' ').sort().join(' ');
}
