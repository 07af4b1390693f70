/**
 * The code through which a thread of the target makes system calls for us. Pure: bytes in, bytes out.
 *
 * Registers of a stopped thread are set so that it runs one `syscall` of the stub; behind it stands code that puts every
 * register back and jumps to where the thread was. While we live we take the thread over before it gets there. If we are
 * killed, at any point, the kernel lets the thread run and it comes back by itself.
 *
 * It ends in plain moves rather than rt_sigreturn: that would need a frame with the vector state on the target's stack and
 * would cancel the restart of an interrupted sleep. `syscall` keeps rsp, rbx, rbp, r12-r15 and the flags, and moves change
 * none of them, so only the others are put back. The stack is not touched, hence a signal may come at any instruction.
 */
import { viewOf } from '../bytes/struct.ts';
import type { Registers } from '../sys/ptrace.ts';

/** Where a call may begin; each names what becomes of the memory file if we are killed during or after the call. */
export const StubEntry = {
  /** The call makes a file: it is closed again. */
  CREATES_FILE: 0,
  /** A call with the file in r8: it is closed. */
  HAS_FILE: 7,
  /** No file is open. */
  PLAIN: 17,
} as const;

/** What `syscall` or its arguments overwrite, in the order of the stub's data. */
const RESTORED = ['rax', 'rcx', 'r11', 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const satisfies (keyof Registers)[];

const HEAD = Uint8Array.of(
  ...[0x0f, 0x05], //                   0  syscall
  ...[0x41, 0x89, 0xc0], //             2  mov r8d, eax
  ...[0xeb, 0x02], //                   5  jmp 9
  ...[0x0f, 0x05], //                   7  syscall
  ...[0x44, 0x89, 0xc7], //             9  mov edi, r8d
  ...[0xb8, 0x03, 0x00, 0x00, 0x00], // 12 mov eax, SYS_close
  ...[0x0f, 0x05], //                   17 syscall
);

/** REX and ModRM of `mov reg, [rip + disp32]`, in the order of RESTORED. */
const LOADS: readonly (readonly [number, number])[] = [
  [0x48, 0x05], // mov rax, [rip + d]
  [0x48, 0x0d], // mov rcx, [rip + d]
  [0x4c, 0x1d], // mov r11, [rip + d]
  [0x48, 0x3d], // mov rdi, [rip + d]
  [0x48, 0x35], // mov rsi, [rip + d]
  [0x48, 0x15], // mov rdx, [rip + d]
  [0x4c, 0x15], // mov r10, [rip + d]
  [0x4c, 0x05], // mov r8, [rip + d]
  [0x4c, 0x0d], // mov r9, [rip + d]
];
const LOAD_SIZE = 7;
const JUMP_SIZE = 6;

const CODE_SIZE = HEAD.length + LOADS.length * LOAD_SIZE + JUMP_SIZE;
const DATA = Math.ceil(CODE_SIZE / 8) * 8;
const TARGET = DATA + RESTORED.length * 8;
/** Where the stub keeps the name of the memory file, for calls that need its address. */
export const STUB_NAME = TARGET + 8;
/** Size of the stub in bytes, name included. */
export const STUB_SIZE = STUB_NAME + 8;

const NAME = 'remora\0';

/** The code, the same in every stub: it needs no address of its own. */
const CODE = makeCode();

/** The stub that puts a thread back to `registers`, wherever it lies. */
export function makeStub(registers: Registers): Uint8Array {
  const stub = new Uint8Array(STUB_SIZE);
  stub.set(CODE);
  const view = viewOf(stub);
  RESTORED.forEach((name, i) => {
    view.setBigUint64(DATA + i * 8, registers[name], true);
  });
  view.setBigUint64(TARGET, registers.rip, true);
  stub.set(Buffer.from(NAME, 'latin1'), STUB_NAME);
  return stub;
}

/** True for the bytes of a stub, whoever left it. */
export function isStub(bytes: Uint8Array): boolean {
  return bytes.length >= STUB_SIZE && CODE.every((byte, i) => bytes[i] === byte);
}

function makeCode(): Uint8Array {
  const code = new Uint8Array(CODE_SIZE);
  const view = viewOf(code);
  code.set(HEAD);
  let at = HEAD.length;
  LOADS.forEach(([rex, modrm], i) => {
    code.set([rex, 0x8b, modrm], at);
    view.setInt32(at + 3, DATA + i * 8 - (at + LOAD_SIZE), true);
    at += LOAD_SIZE;
  });
  code.set([0xff, 0x25], at); // jmp [rip + d]
  view.setInt32(at + 2, TARGET - (at + JUMP_SIZE), true);
  return code;
}
