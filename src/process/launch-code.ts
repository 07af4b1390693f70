/**
 * The code by which this process makes a child that waits until it is traced, and then becomes a program: what libuv's own
 * children cannot do, since it takes their ptrace stops. The child shares our memory until it does.
 * Source: clone(2), rt_sigaction(2), futex(2), execve(2); libuv's uv__process_child_init for what must be undone.
 */
import { Assembler } from '../arch/x64/assembler.ts';
import { at as memoryAt } from '../arch/x64/memory.ts';
import { Reg } from '../arch/x64/registers.ts';

/** Offsets in the memory that the code works on. */
export const LaunchMemory = {
  /** The child waits while it is 0. */
  go: 0,
  /** Why the program could not be started: a negative errno; 0 if it was. */
  failure: 8,
  allSignals: 16,
  ownSignals: 24,
  foundAction: 32,
  /** A struct kernel_sigaction of zeros: the default. */
  defaultAction: 64,
  texts: 96,
} as const;

const Call = {
  RT_SIGACTION: 13,
  RT_SIGPROCMASK: 14,
  CLONE: 56,
  EXECVE: 59,
  FCNTL: 72,
  FUTEX: 202,
  EXIT_GROUP: 231,
} as const;
const SIG_SETMASK = 2;
const SIG_IGN = 1;
const SIGPIPE = 13;
const SIGCHLD = 17;
const LAST_SIGNAL = 64;
const SIGNAL_SET_SIZE = 8;
const CLONE_VM = 0x100;
const F_SETFD = 2;
const NOT_STARTED = 127;

export interface LaunchPlace {
  /** Where the code will lie. */
  readonly origin: bigint;
  /** Address of the memory above. */
  readonly memory: bigint;
  /** The child's stack: the address behind it. */
  readonly stackEnd: bigint;
  readonly path: bigint;
  readonly argv: bigint;
  readonly envp: bigint;
}

/** A function that makes the child and returns its id, or a negative errno. */
export function launchCode({ origin, memory, stackEnd, path, argv, envp }: LaunchPlace): Uint8Array {
  const a = new Assembler(origin);
  const at = (offset: number): bigint => memory + BigInt(offset);
  const call = (number: number, ...args: readonly (bigint | number | 'as it is')[]): void => {
    const registers = [Reg.RDI, Reg.RSI, Reg.RDX, Reg.R10, Reg.R8];
    args.forEach((arg, n) => {
      if (arg !== 'as it is') a.movImm(registers[n]!, BigInt(arg));
    });
    a.movImm(Reg.RAX, BigInt(number));
    a.syscall();
  };
  const [child, wait, go, signal, next] = [a.label(), a.label(), a.label(), a.label(), a.label()];
  // No handler of ours may run in the child.
  call(Call.RT_SIGPROCMASK, SIG_SETMASK, at(LaunchMemory.allSignals), at(LaunchMemory.ownSignals), SIGNAL_SET_SIZE);
  call(Call.CLONE, CLONE_VM | SIGCHLD, stackEnd, 0, 0, 0);
  a.test(Reg.RAX, Reg.RAX);
  a.jcc('e', child);
  a.push(Reg.RAX);
  call(Call.RT_SIGPROCMASK, SIG_SETMASK, at(LaunchMemory.ownSignals), 0, SIGNAL_SET_SIZE);
  a.pop(Reg.RAX);
  a.ret();

  a.bind(child);
  a.bind(wait);
  a.movImm(Reg.RDI, at(LaunchMemory.go));
  a.mov(Reg.RAX, memoryAt(Reg.RDI));
  a.test(Reg.RAX, Reg.RAX);
  a.jcc('ne', go);
  call(Call.FUTEX, at(LaunchMemory.go), 0, 0, 0);
  a.jmp(wait);

  a.bind(go);
  a.movImm(Reg.RBX, BigInt(LAST_SIGNAL));
  a.bind(signal);
  a.mov(Reg.RDI, Reg.RBX);
  call(Call.RT_SIGACTION, 'as it is', 0, at(LaunchMemory.foundAction), SIGNAL_SET_SIZE);
  a.movImm(Reg.RAX, at(LaunchMemory.foundAction));
  a.aluImm('cmp', memoryAt(Reg.RAX), SIG_IGN);
  a.jcc('be', next);
  a.mov(Reg.RDI, Reg.RBX);
  call(Call.RT_SIGACTION, 'as it is', at(LaunchMemory.defaultAction), 0, SIGNAL_SET_SIZE);
  a.bind(next);
  a.dec(Reg.RBX);
  a.jcc('ne', signal);
  // Node ignores it, and has its own descriptors closed by an exec.
  call(Call.RT_SIGACTION, SIGPIPE, at(LaunchMemory.defaultAction), 0, SIGNAL_SET_SIZE);
  for (const fd of [0, 1, 2]) call(Call.FCNTL, fd, F_SETFD, 0);
  call(Call.RT_SIGPROCMASK, SIG_SETMASK, at(LaunchMemory.ownSignals), 0, SIGNAL_SET_SIZE);
  call(Call.EXECVE, path, argv, envp);
  a.movImm(Reg.RDI, at(LaunchMemory.failure));
  a.mov(memoryAt(Reg.RDI), Reg.RAX);
  call(Call.EXIT_GROUP, NOT_STARTED);
  return a.finish();
}
