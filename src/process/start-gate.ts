/**
 * Where a new program is held up before it begins: a few instructions that its dynamic linker comes to by the way, as it returns from
 * its work or jumps to the program's entry. There the thread makes a system call that does nothing, which whoever traces its calls
 * sees, and goes on to where it was going. If nobody traces it any more it does so at once: no instruction of the program or its
 * libraries is ever replaced.
 *
 *     |  rax  rcx  r11  rdi  |   pushed by the thread, rdi at the stack pointer, while it makes the call
 */
import { Assembler } from '../arch/x64/assembler.ts';
import { absolute, at } from '../arch/x64/memory.ts';
import { Reg } from '../arch/x64/registers.ts';
import { struct } from '../bytes/struct.ts';
import type { Word } from '../sys/auxiliary-vector.ts';
import type { Registers } from '../sys/ptrace.ts';
import { type StubPlace, stubAround, targetCell } from './call-stub.ts';
import { NO_SYSTEM_CALL } from './resume-point.ts';
import { SystemCall } from './system-calls.ts';

/** The gate and what of it is asked of whom. */
export interface StartGate {
  readonly bytes: Uint8Array;
  /** Address of its first byte, where the thread is to come by. */
  readonly start: bigint;
  /** Where the instruction pointer of the thread is while it makes the call. */
  readonly calls: bigint;
}

/** No such descriptor: that it is closed is nothing. Every linker closes files, so no filter that lets it run forbids this. */
const NO_DESCRIPTOR = 0xffff_ffffn;

const PUSHED = [Reg.RAX, Reg.RCX, Reg.R11, Reg.RDI] as const;
/** The same as they lie on its stack. */
const Pushed = struct('pushed', 32, { rdi: 'u64', r11: 'u64', rcx: 'u64', rax: 'u64' });
export const PUSHED_SIZE = Pushed.size;

/**
 * @param goOn where the thread was going
 * @param word what it puts back as it passes
 */
export function makeStartGate(place: StubPlace, goOn: bigint, word?: Word): StartGate {
  const start = place.end - BigInt(place.capacity);
  const a = new Assembler(start);
  for (const register of PUSHED) a.push(register);
  if (word !== undefined) {
    a.movImm(Reg.RDI, word.address);
    a.movImm(Reg.RAX, word.value);
    a.mov(at(Reg.RDI), Reg.RAX);
  }
  a.movImm(Reg.RDI, NO_DESCRIPTOR);
  a.movImm(Reg.RAX, BigInt(SystemCall.close));
  a.syscall();
  const calls = a.address;
  for (const register of PUSHED.toReversed()) a.pop(register);
  a.jmpIndirect(absolute(targetCell(place)));
  return { bytes: stubAround(a.finish(), place, goOn), start, calls };
}

/** The registers of a thread at the end of its call as they are once it has passed. @param pushed what is on its stack */
export function behindGate(registers: Registers, pushed: Uint8Array, goOn: bigint): Registers {
  const rsp = registers.rsp + BigInt(PUSHED_SIZE);
  return { ...registers, ...Pushed.read(pushed), rsp, rip: goOn, origRax: NO_SYSTEM_CALL };
}
