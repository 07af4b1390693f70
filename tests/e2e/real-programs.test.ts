/**
 * `remora load` on programs that people use. Each is running before we come, waits for a line to begin, makes a known number of
 * calls, and says what it got; the counts must be exact and its own results unchanged.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLI, jsonLines } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { Interactive } from '../support/interactive.ts';
import { ROOT } from '../support/root.ts';

const CALLS = 5000;
const OBJECT = join(ROOT, 'examples/count-calls.bpf.o');

interface Program {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  /** A function that the work below calls CALLS times, and nothing else meanwhile. */
  readonly place: string;
  /** The line that makes it begin; 'go' if not given. */
  readonly start?: string;
  /** What it prints when it is done. */
  readonly answer: string;
}

const SHELL = `echo ready; read go; i=0; while [ $i -lt ${CALLS} ]; do : ; let i=i+1; done; echo done $i; read more`;
const PYTHON = `
import os
print('ready', flush=True)
input()
print('done', len([os.getppid() for i in range(${CALLS})]), flush=True)
input()`;
const NODE = `
let n = 0;
process.stdin.on('data', () => { while (n < ${CALLS}) { process.ppid; n++; } console.log('done', n); });
console.log('ready');`;

/** A step for each row, and one that says that there are no more; twice, since what tells that it is done is a row too. */
const SQL = `with recursive n(x) as (select 1 union all select x + 1 from n where x < ${CALLS - 3})
  select x from n; select 'done ${CALLS}';`.replaceAll('\n', ' ');

/** The system's python3 where there is one: others on the path may be wrappers. */
const PYTHON_PATH = existsSync('/usr/bin/python3') ? realpathSync('/usr/bin/python3') : 'python3';

const PROGRAMS: readonly Program[] = [
  { name: 'bash', path: '/bin/bash', args: ['-c', SHELL], place: 'bash:colon_builtin', answer: `done ${CALLS}` },
  { name: 'python3', path: PYTHON_PATH, args: ['-c', PYTHON], place: 'libc.so.6:getppid', answer: `done ${CALLS}` },
  {
    name: 'node',
    path: process.execPath,
    args: ['-e', NODE],
    place: `${basename(process.execPath)}:uv_os_getppid`,
    answer: `done ${CALLS}`,
  },
  {
    name: 'sqlite3',
    path: '/usr/bin/sqlite3',
    args: [':memory:', '-cmd', '.print ready'],
    place: 'libsqlite3.so.0:sqlite3_step',
    start: SQL,
    answer: `done ${CALLS}`,
  },
];

interface Line {
  readonly type: string;
  readonly data?: unknown;
  readonly name?: string;
  readonly entries?: unknown;
}

describe('a probe on a program that people use', () => {
  for (const program of PROGRAMS) {
    it(`counts exactly in ${program.name}, at ${program.place}`, async () => {
      using running = new Interactive(program.path, program.args);
      const before = codeHashes(running.pid);
      const place = ['--attach', `on_call=uprobe:${program.place}`];
      const load = spawn(process.execPath, [CLI, 'load', OBJECT, ...place, '-p', `${running.pid}`, '--json', '-q']);
      const ended = once(load, 'close');
      let output = '';
      load.stdout.on('data', (data) => {
        if (output === '') running.say(program.start ?? 'go');
        output += data;
      });
      while (!running.output.includes('done')) await sleep(20);
      load.kill('SIGINT');
      assert.deepEqual(await ended, [0, null]);

      assert.match(running.output, new RegExp(`^${program.answer}$`, 'm'));
      const lines = jsonLines(output) as Line[];
      assert.deepEqual(
        lines.map(({ type }) => type),
        ['attached', 'map', 'stats', 'detached'],
      );
      assert.deepEqual(lines[1]!.entries, [{ key: 0, value: CALLS }]);
      assert.deepEqual(lines[2]!.data, { links: [{ id: 1, hits: CALLS, missed: 0 }], lost_events: 0 });
      assert.deepEqual(lines[3]!.data, { pid: running.pid, links: 1, restored: true });
      // A program that compiles code at run time has more of it by now.
      const after = codeHashes(running.pid);
      for (const [mapping, hash] of Object.entries(before)) {
        if (/ (\/|\[vdso\])/.test(mapping)) assert.equal(after[mapping], hash, mapping);
      }
      running.say('more');
    });
  }
});
