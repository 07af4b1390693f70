/**
 * Starting a program that is entered before it runs: seized before its exec, let run to where it is to be entered, and kept there
 * until it is told to begin. If we die it begins by itself.
 */

import { type ProcessEnd, takeEnd } from '../sys/child-end.ts';
import { errnoName, isSysError } from '../sys/errors.ts';
import {
  interrupt,
  readRegisters,
  resume,
  seize,
  setOptions,
  TraceOption,
  UserRegs,
  writeRegisters,
} from '../sys/ptrace.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';
import { type Environment, spawnImage } from '../sys/spawn.ts';
import { awaitReport, type WaitEvent } from '../sys/wait.ts';
import { readAttachFacts } from './attach-facts.ts';
import { ProcessError } from './errors.ts';
import { findCommand } from './find-command.ts';
import { parkUnbegun, unpark } from './parked.ts';
import { runToStart } from './run-to-start.ts';
import { execErrorOf, makeStarter } from './starter.ts';
import { openProcess, type TargetProcess } from './target-process.ts';
import { watchHold } from './watchdog.ts';

export interface SpawnOptions {
  /** Environment variables; our own if not given. */
  readonly environment?: Environment;
}

/** No system call: what orig_rax says of a thread that is not to repeat one. */
const NO_CALL = 0xffff_ffff_ffff_ffffn;
/** How often to look whether a child is where it should be, in microseconds. */
const LOOK_INTERVAL_US = 50;

/**
 * Starts a program with our streams, terminal and process group. It stands still before its first instruction, or before
 * the constructors of its libraries if it has any, until `run` is called.
 *
 * @param command a path, or a name to look for in PATH
 * @throws {ProcessError} PROCESS_NOT_STARTED, PROCESS_PERMISSION, PROCESS_WRONG_ARCH
 */
export function spawnProcess(
  command: string,
  args: readonly string[] = [],
  { environment = process.env }: SpawnOptions = {},
): SpawnedProcess {
  const path = findCommand(command, environment.PATH ?? DEFAULT_PATH);
  const starter = makeStarter();
  const pid = spawnImage(starter.image, ['remora-start', path, command, ...args], environment);
  using _watch = watchHold();
  try {
    execute(pid, path, starter.goOn);
    // Of other architectures nothing below is true; opening it says so.
    if (readAttachFacts(pid).architecture === 'x86-64' && !runToStart(pid)) throw endedEarly(path);
    parkUnbegun(pid);
    return new SpawnedProcess(pid, openProcess(pid));
  } catch (error) {
    kill(pid);
    throw error;
  }
}

/** Where commands are looked for without a PATH, as the C library does. */
const DEFAULT_PATH = '/bin:/usr/bin';

/** A program that we started. Dispose of it to close it; if it has not been let run it is killed. */
export class SpawnedProcess implements Disposable {
  readonly pid: number;
  readonly target: TargetProcess;
  #state: 'waits' | 'runs' | 'ended' = 'waits';

  /** @internal Use `spawnProcess`. */
  constructor(pid: number, target: TargetProcess) {
    this.pid = pid;
    this.target = target;
  }

  /** Lets it begin. A second time does nothing. */
  run(): void {
    if (this.#state !== 'waits') return;
    this.#state = 'runs';
    unpark(this.pid);
  }

  /** How it ended, undefined while it runs. It stays a zombie until this has told. */
  end(): ProcessEnd | undefined {
    const end = takeEnd(this.pid);
    if (end !== undefined) {
      this.#state = 'ended';
      unpark(this.pid);
    }
    return end;
  }

  /** Sends it a signal; one that has ended gets none. */
  signal(signal: NodeJS.Signals): void {
    if (this.end() === undefined) process.kill(this.pid, signal);
  }

  [Symbol.dispose](): void {
    this.target[Symbol.dispose]();
    if (this.#state === 'waits') kill(this.pid);
    this.#state = 'ended';
    unpark(this.pid);
  }
}

/** Has the starter become the program: it stands at its exec stop then. */
function execute(pid: number, path: string, goOn: bigint): void {
  try {
    // Not for its exec yet: the starter's own may not be quite done.
    seize(pid, 0);
  } catch (error) {
    if (!isSysError(error, 'SYS_EPERM')) throw error;
    throw new ProcessError('PROCESS_PERMISSION', `cannot trace ${path}: not permitted`, {
      cause: error,
      why: 'this process may trace nothing: kernel.yama.ptrace_scope is 2 or 3, or a security module forbids it',
      fix: 'run it with sudo, or as a user with CAP_SYS_PTRACE',
    });
  }
  interrupt(pid);
  if (runTo(pid, 'trap', 'group-stop')) {
    setOptions(pid, TraceOption.EXEC);
    writeRegisters(pid, { ...UserRegs.read(readRegisters(pid)), rip: goOn, origRax: NO_CALL });
    resume(pid, 0);
    if (runTo(pid, 'exec')) return;
  }
  const code = takeEnd(pid)?.code;
  if (code === undefined) throw endedEarly(path);
  const name = errnoName(execErrorOf(code));
  throw new ProcessError(
    'PROCESS_NOT_STARTED',
    `cannot start ${path}: execve fails with ${name}`,
    name === 'ENOEXEC' ? { why: 'it is no program, nor a script that begins with #!', fix: `sh ${path}` } : {},
  );
}

/** Waits until a running child comes to one of some stops, past others; false if it ended. */
function runTo(pid: number, ...stops: readonly WaitEvent['kind'][]): boolean {
  for (let event = awaitReport(pid); !stops.includes(event.kind); event = awaitReport(pid)) {
    if (event.kind === 'ended') return false;
    resume(pid, event.kind === 'signal' ? event.signal : 0);
  }
  return true;
}

function kill(pid: number): void {
  if (takeEnd(pid) !== undefined) return;
  process.kill(pid, 'SIGKILL');
  while (takeEnd(pid) === undefined) sleepMicroseconds(LOOK_INTERVAL_US);
}

function endedEarly(path: string): ProcessError {
  return new ProcessError('PROCESS_NOT_STARTED', `cannot start ${path}: it ended before it began`, {
    why: 'a signal ended it, or its dynamic linker did, which says why on stderr',
  });
}
