/**
 * Small C programs for tests to enter: compiled once, started so that nobody here is their parent (libuv waits for its
 * children and would take their ptrace stops), killed by number at the end.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './root.ts';

const SOURCES = join(ROOT, 'tests', 'targets');
const BUILD = join(ROOT, '.build', 'targets');

/** A program that runs and has said that it is ready. */
export interface RunningTarget extends Disposable {
  readonly pid: number;
  /** What it wrote so far. */
  output(): string;
  isRunning(): boolean;
  /** Kills it and waits until it is gone. */
  stop(): void;
}

/** Path of tests/targets/NAME.c, or NAME.cc, compiled with `flags`; of C by the compiler that is named. */
export function compileTarget(name: string, flags: readonly string[] = [], compiler = 'gcc'): string {
  const isC = existsSync(join(SOURCES, `${name}.c`));
  const source = join(SOURCES, `${name}.${isC ? 'c' : 'cc'}`);
  const path = join(
    BUILD,
    [name, ...flags, ...(compiler === 'gcc' ? [] : [compiler])].join('').replace(/[^\w-]/g, '_'),
  );
  if (existsSync(path) && statSync(path).mtimeMs > statSync(source).mtimeMs) return path;
  mkdirSync(BUILD, { recursive: true });
  // Test files run at the same time: none may see a half-written program.
  const fresh = `${path}.${process.pid}`;
  const gcc = spawnSync(isC ? compiler : 'g++', ['-O2', '-g', '-pthread', '-Wall', '-o', fresh, source, ...flags], {
    encoding: 'utf8',
  });
  if (gcc.status !== 0) throw new Error(`cannot compile ${source}: ${gcc.stderr || gcc.error}`);
  renameSync(fresh, path);
  return path;
}

/** Starts a program that includes target.h, and waits until it has called `ready`. */
export function startTarget(path: string, args: readonly string[] = []): RunningTarget {
  mkdirSync(BUILD, { recursive: true });
  const log = join(BUILD, `log.${process.pid}.${count++}`);
  // Descriptor 3 keeps the pipe open until `ready` closes it, and spawnSync waits for that.
  const script = 'log=$1; shift; setsid "$@" 3>&1 >"$log" 2>&1 </dev/null & echo $!';
  const shell = spawnSync('sh', ['-c', script, 'sh', log, path, ...args], { encoding: 'utf8' });
  // Either line may come first.
  const pid = Number(/^\d+$/m.exec(shell.stdout)?.[0]);
  if (!/^ready$/m.test(shell.stdout)) throw new Error(`cannot start ${path}: ${readFileSync(log, 'utf8')}`);
  const target = {
    pid,
    output: () => readFileSync(log, 'utf8'),
    isRunning: () => threadsOf(pid).some((tid) => !['Z', 'X', undefined].includes(stateOf(tid))),
    stop() {
      if (!target.isRunning()) return;
      process.kill(pid, 'SIGKILL');
      waitUntil('the target is gone', () => !target.isRunning());
    },
    [Symbol.dispose]() {
      target.stop();
      rmSync(log, { force: true });
    },
  };
  return target;
}

let count = 0;

/** The first child of a process, once it has one. */
export function childOf(pid: number): number {
  let children = '';
  waitUntil('it has a child', () => {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return children !== '';
  });
  return Number(children.split(' ')[0]);
}

/** Blocks until `condition` holds. @throws if it does not within `timeoutMs`, or what `explain` throws then */
export function waitUntil(what: string, condition: () => boolean, timeoutMs = 5000, explain = () => {}): void {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) explain();
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}

/** Ids of the threads of a process: its first may have ended and others run on. */
function threadsOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

/** The letter of a process's state, undefined once it is gone. */
export function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2];
  } catch {
    return undefined;
  }
}
