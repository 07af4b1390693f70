/**
 * A process that watches over this one while it holds threads of others: threads that we have stopped can be let go by nobody
 * else, so if somebody stops us meanwhile it has us go on. It shares our memory, does nothing but sleep and look, and dies with
 * us. Source: clone(2), prctl(2), close_range(2), ptrace(2).
 */
import { Assembler } from '../arch/x64/assembler.ts';
import { at } from '../arch/x64/memory.ts';
import { Reg } from '../arch/x64/registers.ts';
import { SysError } from '../sys/errors.ts';
import { ExecutableMemory } from '../sys/executable-memory.ts';
import { libc, viewOfMemory } from '../sys/libc.ts';
import { STUB_CAPACITY, type StubPlace } from './call-stub.ts';

/** Threads held for one to two of these are held by a controller that does not run. */
const LOOK_NS = 300_000_000n;

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MEMORY_SIZE = 8192;
const CODE_SIZE = 4096;
/** Offsets in its memory; the stack lies behind. */
const At = { hold: 0, allSignals: 8, ownSignals: 16, interval: 32, name: 64 } as const;
const NAME = 'remora-watchdog\0';

const Call = {
  RT_SIGPROCMASK: 14,
  NANOSLEEP: 35,
  CLONE: 56,
  EXIT: 60,
  KILL: 62,
  SETPGID: 109,
  GETPPID: 110,
  PRCTL: 157,
  CLOSE_RANGE: 436,
} as const;
const LAST_DESCRIPTOR = 0xffff_ffffn;
const SIG_SETMASK = 2;
const CLONE_VM = 0x100;
const PR_SET_PDEATHSIG = 1;
const PR_SET_NAME = 15;
const SIGKILL = 9;
const SIGCONT = 18;

interface Watchdog {
  readonly pid: number;
  /** Odd while threads are held, another number each time. */
  readonly cell: BigInt64Array;
  /** Free room behind its code. */
  readonly place: StubPlace;
}

let started: Watchdog | undefined;
let holds = 0;

/** The process that watches, from now on. */
export function watchdog(): Watchdog {
  started ??= startWatchdog();
  return started;
}

/** Says that threads are about to be held, until the result is disposed of. */
export function watchHold(): Disposable {
  const { cell } = watchdog();
  if (holds++ === 0) cell[0]! += 1n;
  let isHeld = true;
  return {
    [Symbol.dispose]() {
      if (isHeld && --holds === 0) cell[0]! += 1n;
      isHeld = false;
    },
  };
}

function startWatchdog(): Watchdog {
  const base = libc('mmap', 'mmap', 0, MEMORY_SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  const buffer = viewOfMemory(base, MEMORY_SIZE);
  const view = new DataView(buffer);
  view.setBigInt64(At.allSignals, -1n, true);
  view.setBigInt64(At.interval + 8, LOOK_NS, true);
  new Uint8Array(buffer).set(Buffer.from(NAME, 'latin1'), At.name);
  const code = new ExecutableMemory(CODE_SIZE);
  const pid = Number(BigInt.asIntN(64, code.run(watchdogCode(code.address, BigInt(base)), new Uint8Array(0))));
  if (pid < 0) throw new SysError('clone', -pid);
  const place = { end: code.address + BigInt(CODE_SIZE), capacity: STUB_CAPACITY.WANTED };
  return { pid, cell: new BigInt64Array(buffer, At.hold, 1), place };
}

/** A function that makes the watchdog and returns its id, or a negative errno. */
function watchdogCode(origin: bigint, memory: bigint): Uint8Array {
  const a = new Assembler(origin);
  const address = (offset: number): bigint => memory + BigInt(offset);
  const call = (number: number, ...args: readonly (bigint | number)[]): void => {
    const registers = [Reg.RDI, Reg.RSI, Reg.RDX, Reg.R10, Reg.R8];
    args.forEach((arg, n) => {
      a.movImm(registers[n]!, BigInt(arg));
    });
    a.movImm(Reg.RAX, BigInt(number));
    a.syscall();
  };
  const [child, look, exit] = [a.label(), a.label(), a.label()];
  // It has none of our handlers to run, and nothing but a SIGKILL to obey.
  call(Call.RT_SIGPROCMASK, SIG_SETMASK, address(At.allSignals), address(At.ownSignals), 8);
  call(Call.CLONE, CLONE_VM, address(MEMORY_SIZE), 0, 0, 0);
  a.test(Reg.RAX, Reg.RAX);
  a.jcc('e', child);
  a.push(Reg.RAX);
  call(Call.RT_SIGPROCMASK, SIG_SETMASK, address(At.ownSignals), 0, 8);
  a.pop(Reg.RAX);
  a.ret();

  a.bind(child);
  call(Call.PRCTL, PR_SET_PDEATHSIG, SIGKILL);
  call(Call.PRCTL, PR_SET_NAME, address(At.name));
  // What we close is to be closed: locks, and pipes whose other end waits for that. Its table of descriptors is its own.
  call(Call.CLOSE_RANGE, 0, LAST_DESCRIPTOR, 0);
  // Who stops our group is not to stop it.
  call(Call.SETPGID, 0, 0);
  call(Call.GETPPID);
  a.aluImm('cmp', Reg.RAX, process.pid);
  a.jcc('ne', exit);
  a.bind(look);
  a.movImm(Reg.R12, address(At.hold));
  a.mov(Reg.RBX, at(Reg.R12));
  call(Call.NANOSLEEP, address(At.interval), 0);
  a.alu('cmp', Reg.RBX, at(Reg.R12));
  a.jcc('ne', look);
  a.testImm(Reg.RBX, 1, 4);
  a.jcc('e', look);
  call(Call.KILL, process.pid, SIGCONT);
  a.jmp(look);
  a.bind(exit);
  call(Call.EXIT, 0);
  return a.finish();
}
