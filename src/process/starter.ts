/**
 * The program that a child begins as: it waits to be told, then becomes the program it is to be. So a tracer can seize the
 * child before the first instruction of that program. It has no libraries, changes nothing, and is gone at its exec.
 */
import { Assembler } from '../arch/x64/assembler.ts';
import { at, indexed } from '../arch/x64/memory.ts';
import { Reg } from '../arch/x64/registers.ts';
import { Ehdr, FileType, Machine } from '../elf/header.ts';
import { Phdr, SegmentFlag, SegmentType } from '../elf/segments.ts';

const SYS_PAUSE = 34n;
const SYS_ALARM = 37n;
const SYS_EXECVE = 59n;
const SYS_EXIT = 60n;
const SYS_PRCTL = 157n;
const PR_SET_PDEATHSIG = 1n;
const SIGKILL = 9n;

/** Where the file is mapped: any place is right. */
const BASE = 0x40_0000n;
const CODE_AT = Ehdr.size + Phdr.size;

/** It ends with who started it; if that has died before it could say so, it ends by itself. */
const PATIENCE_S = 30n;

export interface Starter {
  /** An ELF executable. Its arguments: its own name, the file to execute, and the arguments of that, the first its name. */
  readonly image: Uint8Array;
  /** Where its thread is to go on once it is traced, with all other registers as they are. */
  readonly goOn: bigint;
}

export function makeStarter(): Starter {
  const { code, goOn } = assemble(BASE + BigInt(CODE_AT));
  const image = new Uint8Array(CODE_AT + code.length);
  const size = BigInt(image.length);
  Ehdr.write(image, 0, {
    magic: 0x464c_457f,
    class: 2,
    data: 1,
    identVersion: 1,
    osAbi: 0,
    identPad: 0n,
    type: FileType.EXEC,
    machine: Machine.X86_64,
    version: 1,
    entry: BASE + BigInt(CODE_AT),
    phoff: BigInt(Ehdr.size),
    shoff: 0n,
    flags: 0,
    ehsize: Ehdr.size,
    phentsize: Phdr.size,
    phnum: 1,
    shentsize: 0,
    shnum: 0,
    shstrndx: 0,
  });
  Phdr.write(image, Ehdr.size, {
    type: SegmentType.LOAD,
    flags: SegmentFlag.READ | SegmentFlag.EXEC,
    offset: 0n,
    vaddr: BASE,
    paddr: BASE,
    filesz: size,
    memsz: size,
    align: 0x1000n,
  });
  image.set(code, CODE_AT);
  return { image, goOn };
}

/** The error number of an execve that failed, from the starter's exit code. */
export function execErrorOf(exitCode: number): number {
  return (256 - exitCode) & 0xff;
}

/** On the stack, as execve(2) leaves it: argc, the arguments, null, the environment, null. */
function assemble(origin: bigint): { readonly code: Uint8Array; readonly goOn: bigint } {
  const asm = new Assembler(origin);
  const wait = asm.label();
  asm.movImm(Reg.RDI, PATIENCE_S);
  call(asm, SYS_ALARM);
  dieWithParent(asm, SIGKILL);
  asm.bind(wait);
  call(asm, SYS_PAUSE);
  asm.jmp(wait, 'short');

  const goOn = asm.address;
  dieWithParent(asm, 0n);
  asm.movImm(Reg.RDI, 0n);
  call(asm, SYS_ALARM);
  asm.mov(Reg.RCX, at(Reg.RSP));
  asm.mov(Reg.RDI, at(Reg.RSP, 16));
  asm.lea(Reg.RSI, at(Reg.RSP, 24));
  asm.lea(Reg.RDX, indexed(Reg.RSP, Reg.RCX, 8, 16));
  call(asm, SYS_EXECVE);
  // Only if that failed: the exit code is the low byte of -errno.
  asm.mov(Reg.RDI, Reg.RAX);
  call(asm, SYS_EXIT);
  return { code: asm.finish(), goOn };
}

/** @param signal that it gets then, 0 for none */
function dieWithParent(asm: Assembler, signal: bigint): void {
  asm.movImm(Reg.RDI, PR_SET_PDEATHSIG);
  asm.movImm(Reg.RSI, signal);
  call(asm, SYS_PRCTL);
}

function call(asm: Assembler, number: bigint): void {
  asm.movImm(Reg.RAX, number);
  asm.syscall();
}
