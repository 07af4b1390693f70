/**
 * Machine code of ours, run in this process, that makes ptrace's calls for many threads in one go: to have hundreds of threads stop,
 * and to let them go, takes us several times as long as it takes the kernel, and all that time they stand still.
 * What is out of the ordinary it leaves to who asked. Source: ptrace(2), wait4(2), the System V ABI for x86-64.
 */
import { Assembler } from '../arch/x64/assembler.ts';
import { at } from '../arch/x64/memory.ts';
import { Reg } from '../arch/x64/registers.ts';
import { struct } from '../bytes/struct.ts';
import { ExecutableMemory } from '../sys/executable-memory.ts';
import { REQUESTS, UserRegs } from '../sys/ptrace.ts';
import { eventOf, WALL, type WaitEvent } from '../sys/wait.ts';

/** A thread: its id; the status of its stop, or the signal it is let go with; what the last call returned; its registers. */
const Row = struct('row', 16, { tid: 'i32', status: 'i32', result: 'i64' });
const REGISTERS_AT = Row.size;
const ROW_SIZE = REGISTERS_AT + UserRegs.size;
const WORDS = ROW_SIZE / 4;
const [TID, STATUS, RESULT] = [Row.offsetOf.tid / 4, Row.offsetOf.status / 4, Row.offsetOf.result / 4];

/** Fewer are told one by one as fast. */
export const MANY_THREADS = 8;

const CODE_SIZE = 4096;
const Call = { WAIT4: 61, PTRACE: 101 } as const;
const STOPPED = 0x7f;

/** A thread that stands still. */
export interface TakenThread {
  readonly tid: number;
  readonly event: WaitEvent;
  /** UserRegs. */
  readonly registers: Uint8Array;
}

/** Seized threads that are to be stopped together. To be made before anything stands still. */
export class StopLoop {
  readonly #rows: Int32Array;

  constructor(tids: readonly number[]) {
    loops();
    this.#rows = rowsOf(tids.map((tid) => [tid, 0]));
  }

  /**
   * Tells all to stop and waits for each: as long as it takes, or until a signal comes.
   *
   * @returns those that did; the others are as if nothing but `interrupt` had been called for them
   */
  run(): readonly TakenThread[] {
    const rows = this.#rows;
    loops().stop(rows);
    const taken: TakenThread[] = [];
    for (let row = 0; row < rows.length; row += WORDS) {
      const tid = rows[row + TID]!;
      if (rows[row + RESULT] !== tid) continue;
      const registers = new Uint8Array(rows.buffer, row * 4 + REGISTERS_AT, UserRegs.size);
      taken.push({ tid, event: eventOf(tid, rows[row + STATUS]!), registers });
    }
    return taken;
  }
}

/** Lets stopped threads go, each with a signal unless 0; those that are gone are none the worse for it. */
export function detachTogether(threads: readonly (readonly [tid: number, signal: number])[]): void {
  if (threads.length > 0) loops().detach(rowsOf(threads));
}

function rowsOf(threads: readonly (readonly [number, number])[]): Int32Array {
  const rows = new Int32Array(threads.length * WORDS);
  threads.forEach(([tid, status], n) => {
    rows[n * WORDS + TID] = tid;
    rows[n * WORDS + STATUS] = status;
  });
  return rows;
}

interface Loops {
  readonly stop: (rows: Int32Array) => void;
  readonly detach: (rows: Int32Array) => void;
}

let made: Loops | undefined;

function loops(): Loops {
  made ??= { stop: load(stopCode()), detach: load(detachCode()) };
  return made;
}

function load(code: Uint8Array): (rows: Int32Array) => void {
  const memory = new ExecutableMemory(CODE_SIZE);
  memory.write(code);
  return (rows) => memory.call(new Uint8Array(rows.buffer));
}

/** The current row, the first one, and the end of all. */
const [ROW, FIRST, END] = [Reg.RBX, Reg.R12, Reg.R13];
const SAVED = [ROW, FIRST, END];
const row = (offset: number) => at(ROW, offset);

/** Each is told to stop before any is waited for. A row's result becomes the thread's id if its registers are there. */
function stopCode(): Uint8Array {
  return overRows((a) => {
    eachRow(a, () => {
      trace(a, REQUESTS.PTRACE_INTERRUPT, () => a.movImm(Reg.R10, 0n));
      a.mov(row(Row.offsetOf.result), Reg.RAX);
    });
    eachRow(a, (next) => {
      a.aluImm('cmp', row(Row.offsetOf.result), 0);
      a.jcc('ne', next);
      a.mov(Reg.RDI, row(Row.offsetOf.tid), 4);
      a.lea(Reg.RSI, row(Row.offsetOf.status));
      a.movImm(Reg.RDX, BigInt(WALL));
      a.movImm(Reg.R10, 0n);
      a.movImm(Reg.RAX, BigInt(Call.WAIT4));
      a.syscall();
      a.mov(row(Row.offsetOf.result), Reg.RAX);
      a.test(Reg.RAX, Reg.RAX);
      a.jcc('le', next);
      a.aluImm('cmp', row(Row.offsetOf.status), STOPPED, 1);
      a.jcc('ne', next);
      trace(a, REQUESTS.PTRACE_GETREGS, () => a.lea(Reg.R10, row(REGISTERS_AT)));
      a.test(Reg.RAX, Reg.RAX);
      a.jcc('e', next);
      a.mov(row(Row.offsetOf.result), Reg.RAX);
    });
  });
}

function detachCode(): Uint8Array {
  return overRows((a) => {
    eachRow(a, () => {
      trace(a, REQUESTS.PTRACE_DETACH, () => a.mov(Reg.R10, row(Row.offsetOf.status), 4));
      a.mov(row(Row.offsetOf.result), Reg.RAX);
    });
  });
}

/** A function of the rows and of how many bytes they are. */
function overRows(body: (a: Assembler) => void): Uint8Array {
  const a = new Assembler(0n);
  for (const register of SAVED) a.push(register);
  a.mov(FIRST, Reg.RDI);
  a.lea(END, { base: Reg.RDI, index: Reg.RSI, scale: 1, disp: 0, segment: undefined });
  body(a);
  for (const register of SAVED.toReversed()) a.pop(register);
  a.ret();
  return a.finish();
}

function eachRow(a: Assembler, body: (next: ReturnType<Assembler['label']>) => void): void {
  const [again, next] = [a.label(), a.label()];
  a.mov(ROW, FIRST);
  a.bind(again);
  body(next);
  a.bind(next);
  a.aluImm('add', ROW, ROW_SIZE);
  a.alu('cmp', ROW, END);
  a.jcc('b', again);
}

/** ptrace(request, tid of the row, 0, data) */
function trace(a: Assembler, request: number, setData: () => void): void {
  a.movImm(Reg.RDI, BigInt(request));
  a.mov(Reg.RSI, row(Row.offsetOf.tid), 4);
  a.movImm(Reg.RDX, 0n);
  setData();
  a.movImm(Reg.RAX, BigInt(Call.PTRACE));
  a.syscall();
}
