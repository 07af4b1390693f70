/**
 * A program started by us, stopped before it has run any instruction of its own: at its first one if it is static, in front
 * of the first constructor of its libraries if not. From then on it is a process like any other, only that it is our child.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { viewOf } from '../bytes/struct.ts';
import { SysError } from '../sys/errors.ts';
import { ExecutableMemory } from '../sys/executable-memory.ts';
import { libc, tryLibc, viewOfMemory } from '../sys/libc.ts';
import { readThreadState } from '../sys/proc.ts';
import { readMaps } from '../sys/proc-maps.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import {
  detach,
  type Registers,
  readRegisters,
  resume,
  seize,
  TraceOption,
  UserRegs,
  writeRegisters,
} from '../sys/ptrace.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';
import { awaitEvent, type WaitEvent } from '../sys/wait.ts';
import { ProcessError } from './errors.ts';
import { LaunchMemory, launchCode } from './launch-code.ts';
import { groupModules, Module } from './module.ts';
import { readModuleFile } from './module-file.ts';
import { watchHold } from './watchdog.ts';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const SYS_FUTEX = 202;
const FUTEX_WAKE = 1;
const STACK_SIZE = 64 * 1024;
const CODE_SIZE = 4096;
const { SIGTRAP, SIGSTOP } = constants.signals;

/** int3 */
const BREAKPOINT = 0xcc;
/** endbr64; ret: what a debugger's hook of the loader is. */
const RETURNS = [Uint8Array.of(0xc3), Uint8Array.of(0xf3, 0x0f, 0x1e, 0xfa, 0xc3), Uint8Array.of(0xf3, 0xc3)];
/** Of struct r_debug: r_state, which is 0 when all libraries are mapped. <link.h> */
const R_STATE = 24;

/** How a child of ours ended. */
export type ExitStatus = { readonly code: number } | { readonly signal: number };

/** Dispose of it before `run` to kill it: it has not run yet. */
export class LaunchedProcess implements Disposable {
  readonly pid: number;
  #state: 'stopped' | 'running' | 'ended' = 'stopped';

  private constructor(pid: number) {
    this.pid = pid;
  }

  /**
   * Starts a program; it stands still and may be opened.
   *
   * @param path of its file
   * @param argv its name first
   * @throws {ProcessError} PROCESS_NOT_STARTED
   */
  static start(
    path: string,
    argv: readonly string[],
    env: Readonly<Record<string, string | undefined>>,
  ): LaunchedProcess {
    for (const fd of [1, 2]) makeBlocking(fd);
    const memory = layTexts(path, argv, env);
    const code = new ExecutableMemory(CODE_SIZE);
    const bytes = launchCode({ origin: code.address, ...memory });
    const pid = Number(BigInt.asIntN(64, code.run(bytes, new Uint8Array(0))));
    if (pid < 0) throw new SysError('clone', -pid);
    const launched = new LaunchedProcess(pid);
    using _watch = watchHold();
    try {
      seize(pid, TraceOption.EXEC);
      const view = new DataView(viewOfMemory(Number(memory.memory), LaunchMemory.texts));
      view.setBigInt64(LaunchMemory.go, 1n, true);
      libc('futex', 'syscall', SYS_FUTEX, Number(memory.memory), FUTEX_WAKE, 1, 0);
      awaitExec(pid, path, () => Number(view.getBigInt64(LaunchMemory.failure, true)));
      runToFirstConstructor(pid);
      // Stopped as by a shell: whoever opens it finds a process that stands still, and none that is traced.
      process.kill(pid, SIGSTOP);
      detach(pid, 0);
      while (readThreadState(pid, pid) !== 'T') sleepMicroseconds(50);
    } catch (error) {
      launched[Symbol.dispose]();
      throw error;
    }
    return launched;
  }

  /** Lets it begin. */
  run(): void {
    this.#state = 'running';
    process.kill(this.pid, 'SIGCONT');
  }

  /** How it ended; undefined as long as it has not. */
  takeExit(): ExitStatus | undefined {
    const status = new Int32Array(1);
    const WNOHANG = 1;
    if (tryLibc('waitpid', this.pid, status, WNOHANG) !== this.pid) return undefined;
    this.#state = 'ended';
    const signal = status[0]! & 0x7f;
    return signal === 0 ? { code: (status[0]! >> 8) & 0xff } : { signal };
  }

  [Symbol.dispose](): void {
    if (this.#state !== 'stopped') return;
    this.#state = 'ended';
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
    tryLibc('waitpid', this.pid, new Int32Array(1), 0);
  }
}

/** Node makes pipes that it writes to non-blocking, for everybody who has them open. */
function makeBlocking(fd: number): void {
  const [F_GETFL, F_SETFL, O_NONBLOCK] = [3, 4, 0o4000];
  const flags = tryLibc('fcntl', fd, F_GETFL, 0);
  if (flags >= 0 && (flags & O_NONBLOCK) !== 0) tryLibc('fcntl', fd, F_SETFL, flags & ~O_NONBLOCK);
}

/** What the child needs, in memory that stays until it has become a program, and as long as we live. */
function layTexts(path: string, argv: readonly string[], env: Readonly<Record<string, string | undefined>>) {
  const variables = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const texts = [path, ...argv, ...variables].map((text) => Buffer.from(`${text}\0`));
  const pointers = 8 * (argv.length + 1 + variables.length + 1);
  const size = LaunchMemory.texts + pointers + texts.reduce((sum, { length }) => sum + length, 0);
  const whole = Math.ceil(size / 16) * 16 + STACK_SIZE;
  const base = libc('mmap', 'mmap', 0, whole, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  const bytes = new Uint8Array(viewOfMemory(base, whole));
  const view = viewOf(bytes);
  view.setBigUint64(LaunchMemory.allSignals, 2n ** 64n - 1n, true);
  let end = LaunchMemory.texts + pointers;
  const addresses = texts.map((text) => {
    bytes.set(text, end);
    end += text.length;
    return BigInt(base + end - text.length);
  });
  const layList = (offset: number, list: readonly bigint[]): bigint => {
    list.forEach((address, n) => {
      view.setBigUint64(offset + 8 * n, address, true);
    });
    return BigInt(base + offset);
  };
  const argvAt = LaunchMemory.texts;
  return {
    memory: BigInt(base),
    stackEnd: BigInt(base + whole),
    path: addresses[0]!,
    argv: layList(argvAt, addresses.slice(1, 1 + argv.length)),
    envp: layList(argvAt + 8 * (argv.length + 1), addresses.slice(1 + argv.length)),
  };
}

function awaitExec(pid: number, path: string, failure: () => number): void {
  for (;;) {
    const event = nextEvent(pid);
    if (event.kind === 'exec') return;
    if (event.kind === 'ended') {
      const cause = failure() === 0 ? undefined : new SysError(`execve(${path})`, -failure());
      throw new ProcessError('PROCESS_NOT_STARTED', `cannot start ${path}`, { cause });
    }
    resume(pid, event.kind === 'signal' ? event.signal : 0);
  }
}

/** The program is traced, and stands at its first instruction or its loader's. */
function runToFirstConstructor(pid: number): void {
  const { base, entry } = readAuxiliary(pid);
  if (base === 0n) return;
  using memory = new ProcessMemory(pid);
  const modulesNow = (): Module[] =>
    groupModules(readMaps(pid)).map(
      (mappings) => new Module(mappings, (module) => readModuleFile(pid, module, memory)),
    );
  const loader = modulesNow().find((module) => module.start === base);
  const hook = loader?.elf.findSymbol('_dl_debug_state');
  const debug = loader?.elf.findSymbol('_r_debug');
  if (loader !== undefined && hook !== undefined && debug !== undefined) {
    runToMapped(pid, memory, loader.bias + hook.value, loader.bias + debug.value);
  }
  const code = modulesNow().filter((module) => module.start !== base && module.path !== '[vdso]');
  const first = code.flatMap((module) => {
    const initializers = module.elf.dynamic?.initializers() ?? [];
    return initializers.map((address) => address + module.bias).filter((address) => module.holdsCode(address));
  });
  runToAny(pid, memory, [...new Set([entry, ...first])]);
}

/** Runs until the loader says that all libraries are mapped. */
function runToMapped(pid: number, memory: ProcessMemory, hook: bigint, debug: bigint): void {
  const code = memory.read(hook, 5);
  if (!RETURNS.some((bytes) => Buffer.compare(code.subarray(0, bytes.length), bytes) === 0)) return;
  memory.write(hook, Uint8Array.of(BREAKPOINT));
  for (;;) {
    const registers = runToTrap(pid);
    // In place of the function, which does nothing but return.
    const returnAddress = viewOf(memory.read(registers.rsp, 8)).getBigUint64(0, true);
    writeRegisters(pid, { ...registers, rip: returnAddress, rsp: registers.rsp + 8n });
    if (viewOf(memory.read(debug + BigInt(R_STATE), 4)).getUint32(0, true) === 0) break;
  }
  memory.write(hook, code.subarray(0, 1));
}

function runToAny(pid: number, memory: ProcessMemory, addresses: readonly bigint[]): void {
  const originals = addresses.map((address) => memory.read(address, 1));
  for (const address of addresses) memory.write(address, Uint8Array.of(BREAKPOINT));
  const registers = runToTrap(pid);
  writeRegisters(pid, { ...registers, rip: registers.rip - 1n });
  addresses.forEach((address, n) => {
    memory.write(address, originals[n]!);
  });
}

function runToTrap(pid: number): Registers {
  for (let signal = 0; ; ) {
    resume(pid, signal);
    const event = nextEvent(pid);
    if (event.kind === 'ended') {
      throw new ProcessError('PROCESS_NOT_STARTED', 'cannot start the program: its loader gave up', {
        why: 'the loader has said on stderr what it lacks',
      });
    }
    if (event.kind === 'signal' && event.signal === SIGTRAP) return UserRegs.read(readRegisters(pid));
    signal = event.kind === 'signal' ? event.signal : 0;
  }
}

function nextEvent(pid: number): WaitEvent {
  for (;;) {
    const event = awaitEvent(pid);
    if (event !== undefined) return event;
  }
}

/** AT_BASE, where the loader lies, 0 if there is none; AT_ENTRY, where the program begins. */
function readAuxiliary(pid: number): { readonly base: bigint; readonly entry: bigint } {
  const [AT_BASE, AT_ENTRY] = [7n, 9n];
  const view = viewOf(readFileSync(`/proc/${pid}/auxv`));
  const values = new Map<bigint, bigint>();
  for (let at = 0; at + 16 <= view.byteLength; at += 16) {
    values.set(view.getBigUint64(at, true), view.getBigUint64(at + 8, true));
  }
  return { base: values.get(AT_BASE) ?? 0n, entry: values.get(AT_ENTRY) ?? 0n };
}
