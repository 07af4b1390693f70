/**
 * x86-64 assembler: one method per instruction form, operands in Intel order (destination first), sizes in bytes.
 * It encodes; it does not choose: which instruction to use is the lowering's business. It takes the shortest encoding
 * of what it is told (8-bit immediates and displacements, jumps back).
 * Source: Intel SDM vol. 2, chapters 2 (prefixes, ModRM, SIB) and 3-5 (one page per mnemonic).
 */
import type { Size, Width } from '../../ir/value.ts';
import type { CodeLine, MachineCode } from '../arch.ts';
import type { Mem } from './memory.ts';
import { Reg } from './registers.ts';

/** A register or a place in memory: what the manual calls r/m. */
export type RegMem = Reg | Mem;

/** A jump target. Created unbound; `bind` gives it the current offset, once. */
export interface Label {
  /** Byte offset from the start of the code, or undefined until bound. */
  offset: number | undefined;
}

/** How far a jump forward can go: 'short' (127 bytes, rel8) must be promised by the caller. */
export type Reach = 'short' | 'near';

/** Operations of the first eight opcode rows; the value is the row, and the /digit with an immediate. */
export const ALU = { add: 0, or: 1, adc: 2, sbb: 3, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
export type AluOperator = keyof typeof ALU;

/** Group 2; the value is the /digit. */
export const SHIFT = { rol: 0, ror: 1, shl: 4, shr: 5, sar: 7 } as const;
export type ShiftOperator = keyof typeof SHIFT;

/** Group 3; the value is the /digit. The last four work on rdx:rax. */
export const GROUP3 = { not: 2, neg: 3, mul: 4, imul: 5, div: 6, idiv: 7 } as const;
export type Group3Operator = keyof typeof GROUP3;

/** Condition codes; the value is the low half of the opcode. Intel SDM vol. 1, appendix B. */
export const CONDITION = {
  o: 0,
  no: 1,
  b: 2,
  ae: 3,
  e: 4,
  ne: 5,
  be: 6,
  a: 7,
  s: 8,
  ns: 9,
  p: 10,
  np: 11,
  l: 12,
  ge: 13,
  le: 14,
  g: 15,
} as const;
export type ConditionCode = keyof typeof CONDITION;

/** A hole of `size` bytes at `at`, counted from its end, or holding a whole address (8). */
interface Fixup {
  readonly at: number;
  readonly size: 1 | 4 | 8;
  readonly label: Label;
}

/** What of an encoding is not said by opcode, reg and r/m. */
interface Form {
  readonly size: Size;
  /** Bytes of immediate behind the operand: RIP-relative addresses count from behind them. */
  readonly tail?: number;
  /** Which register fields name a byte register, for which 4-7 mean spl..dil only under a REX prefix. */
  readonly bytes?: 'both' | 'rm' | 'none';
}

export class Assembler {
  /** The address of the first byte. */
  readonly origin: bigint;
  readonly #bytes: number[] = [];
  readonly #fixups: Fixup[] = [];
  readonly #lines: CodeLine[] = [];

  constructor(origin: bigint) {
    this.origin = origin;
  }

  /** Bytes emitted so far. */
  get size(): number {
    return this.#bytes.length;
  }

  /** The address of the next byte. */
  get address(): bigint {
    return this.origin + BigInt(this.size);
  }

  // --- labels -----------------------------------------------------------------------------------------------------

  label(): Label {
    return { offset: undefined };
  }

  bind(label: Label): void {
    if (label.offset !== undefined) throw new RangeError(`label is already bound at ${label.offset}`);
    label.offset = this.size;
  }

  /** Says that what follows was made for the eBPF instruction `origin`. */
  mark(origin: number | undefined): void {
    const last = this.#lines.at(-1);
    if (last?.origin === origin && last !== undefined) return;
    if (last?.offset === this.size) this.#lines.pop();
    this.#lines.push({ offset: this.size, origin });
  }

  /** Resolves every label and returns the code. @throws RangeError if a used label was never bound or is too far. */
  finish(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, size, label } of this.#fixups) {
      if (label.offset === undefined) throw new RangeError(`label used at ${at} was never bound`);
      const distance = label.offset - (at + size);
      if (size === 8) view.setBigUint64(at, this.origin + BigInt(label.offset), true);
      else if (size === 4) view.setInt32(at, distance, true);
      else if (fits8(distance)) view.setInt8(at, distance);
      else throw new RangeError(`short jump at ${at} cannot reach ${distance} bytes`);
    }
    return code;
  }

  /** `finish`, with the address and the marks. */
  machineCode(): MachineCode {
    return { bytes: this.finish(), origin: this.origin, lines: this.#lines };
  }

  // --- moves ------------------------------------------------------------------------------------------------------

  /** mov r/m, r or mov r, r/m */
  mov(dst: RegMem, src: RegMem, size: Size = 8): void {
    this.#regMem(0x88, dst, src, size);
  }

  /** mov r32, imm32 (zero-extended), mov r64, imm32 (sign-extended) or mov r64, imm64: the shortest that fits. */
  movImm(dst: Reg, value: bigint): void {
    const unsigned = BigInt.asUintN(64, value);
    if (unsigned >> 32n === 0n) {
      this.#rex(0, 0, dst >> 3);
      this.#emit(0xb8 | (dst & 7));
      this.#imm(unsigned, 4);
    } else if (BigInt.asIntN(32, unsigned) === BigInt.asIntN(64, unsigned)) {
      this.#encode(0xc7, 0, dst, { size: 8 });
      this.#imm(unsigned, 4);
    } else {
      this.#rex(1, 0, dst >> 3);
      this.#emit(0xb8 | (dst & 7));
      this.#imm(unsigned, 8);
    }
  }

  /** mov r64, imm64: the address of a label */
  movLabel(dst: Reg, label: Label): void {
    this.#rex(1, 0, dst >> 3);
    this.#emit(0xb8 | (dst & 7));
    this.#hole(label, 8);
  }

  /** mov m, imm (32 bits, sign-extended, for 8 bytes) */
  storeImm(dst: Mem, value: bigint, size: Size = 8): void {
    const tail = immediateSize(size);
    this.#encode(size === 1 ? 0xc6 : 0xc7, 0, dst, { size, tail });
    this.#imm(signed(value, size), tail);
  }

  /** movzx r32, r/m8 or r/m16 */
  movzx(dst: Reg, src: RegMem, from: 1 | 2): void {
    this.#encode(from === 1 ? 0x0fb6 : 0x0fb7, dst, src, { size: 4, bytes: from === 1 ? 'rm' : 'none' });
  }

  /** movsx r, r/m8 or r/m16; movsxd r64, r/m32 */
  movsx(dst: Reg, src: RegMem, from: 1 | 2 | 4, size: 4 | 8 = 8): void {
    const opcode = { 1: 0x0fbe, 2: 0x0fbf, 4: 0x63 }[from];
    this.#encode(opcode, dst, src, { size, bytes: from === 1 ? 'rm' : 'none' });
  }

  /** lea r, m */
  lea(dst: Reg, src: Mem, size: 4 | 8 = 8): void {
    this.#encode(0x8d, dst, src, { size });
  }

  /** cmovcc r, r/m */
  cmov(condition: ConditionCode, dst: Reg, src: RegMem, size: 4 | 8 = 8): void {
    this.#encode(0x0f40 | CONDITION[condition], dst, src, { size });
  }

  /** setcc r/m8 */
  set(condition: ConditionCode, dst: RegMem): void {
    this.#encode(0x0f90 | CONDITION[condition], 0, dst, { size: 1, bytes: 'rm' });
  }

  /** push r64 or push m64 */
  push(src: RegMem): void {
    if (typeof src === 'number') {
      this.#rex(0, 0, src >> 3);
      this.#emit(0x50 | (src & 7));
    } else {
      this.#encode(0xff, 6, src, { size: 4 }); // 64 bits without REX.W
    }
  }

  /** pop r64 or pop m64 (an rsp in its address is the one after the pop) */
  pop(dst: RegMem): void {
    if (typeof dst === 'number') {
      this.#rex(0, 0, dst >> 3);
      this.#emit(0x58 | (dst & 7));
    } else {
      this.#encode(0x8f, 0, dst, { size: 4 });
    }
  }

  /** xchg r/m, r; with memory it is locked by itself */
  xchg(dst: RegMem, src: Reg, size: Size = 8): void {
    this.#encode(size === 1 ? 0x86 : 0x87, src, dst, { size, bytes: 'both' });
  }

  // --- arithmetic -------------------------------------------------------------------------------------------------

  /** add, or, adc, sbb, and, sub, xor, cmp: r/m, r or r, r/m */
  alu(operator: AluOperator, dst: RegMem, src: RegMem, size: Size = 8): void {
    this.#regMem(ALU[operator] << 3, dst, src, size);
  }

  /** The same with an immediate: 32 bits, sign-extended to 8 bytes. */
  aluImm(operator: AluOperator, dst: RegMem, value: number | bigint, size: Size = 8): void {
    const imm = signed(value, size);
    const tail = fits8(imm) ? 1 : immediateSize(size);
    if (tail > 1 && dst === Reg.RAX) {
      if (size === 2) this.#emit(0x66);
      this.#rex(size === 8 ? 1 : 0, 0, 0);
      this.#emit((ALU[operator] << 3) | 5);
    } else {
      this.#encode(size === 1 ? 0x80 : tail === 1 ? 0x83 : 0x81, ALU[operator], dst, { size, tail, bytes: 'rm' });
    }
    this.#imm(imm, tail);
  }

  /** test r/m, r */
  test(dst: RegMem, src: Reg, size: Size = 8): void {
    this.#encode(size === 1 ? 0x84 : 0x85, src, dst, { size, bytes: 'both' });
  }

  /** test r/m, imm */
  testImm(dst: RegMem, value: number | bigint, size: Size = 8): void {
    const tail = immediateSize(size);
    if (dst === Reg.RAX) {
      if (size === 2) this.#emit(0x66);
      this.#rex(size === 8 ? 1 : 0, 0, 0);
      this.#emit(size === 1 ? 0xa8 : 0xa9);
    } else {
      this.#encode(size === 1 ? 0xf6 : 0xf7, 0, dst, { size, tail, bytes: 'rm' });
    }
    this.#imm(signed(value, size), tail);
  }

  /** not, neg, mul, imul, div, idiv: r/m */
  group3(operator: Group3Operator, dst: RegMem, size: Size = 8): void {
    this.#encode(size === 1 ? 0xf6 : 0xf7, GROUP3[operator], dst, { size, bytes: 'rm' });
  }

  /** inc r/m */
  inc(dst: RegMem, size: Size = 8): void {
    this.#encode(size === 1 ? 0xfe : 0xff, 0, dst, { size, bytes: 'rm' });
  }

  /** dec r/m */
  dec(dst: RegMem, size: Size = 8): void {
    this.#encode(size === 1 ? 0xfe : 0xff, 1, dst, { size, bytes: 'rm' });
  }

  /** imul r, r/m */
  imul(dst: Reg, src: RegMem, size: 4 | 8 = 8): void {
    this.#encode(0x0faf, dst, src, { size });
  }

  /** imul r, r/m, imm */
  imulImm(dst: Reg, src: RegMem, value: number | bigint, size: 4 | 8 = 8): void {
    const imm = signed(value, size);
    const tail = fits8(imm) ? 1 : 4;
    this.#encode(tail === 1 ? 0x6b : 0x69, dst, src, { size, tail });
    this.#imm(imm, tail);
  }

  /** rol, ror, shl, shr, sar: r/m, imm8 */
  shiftImm(operator: ShiftOperator, dst: RegMem, count: number, size: Size = 8): void {
    const opcode = count === 1 ? 0xd0 : 0xc0;
    const tail = count === 1 ? 0 : 1;
    this.#encode(size === 1 ? opcode : opcode | 1, SHIFT[operator], dst, { size, tail, bytes: 'rm' });
    if (tail > 0) this.#emit(count);
  }

  /** rol, ror, shl, shr, sar: r/m, cl */
  shiftCl(operator: ShiftOperator, dst: RegMem, size: Size = 8): void {
    this.#encode(size === 1 ? 0xd2 : 0xd3, SHIFT[operator], dst, { size, bytes: 'rm' });
  }

  /** cdq (4) or cqo (8): the sign of rax into rdx */
  cqo(size: 4 | 8 = 8): void {
    this.#rex(size === 8 ? 1 : 0, 0, 0);
    this.#emit(0x99);
  }

  /** bswap r32 or r64 */
  bswap(dst: Reg, size: 4 | 8 = 8): void {
    this.#rex(size === 8 ? 1 : 0, 0, dst >> 3);
    this.#emit(0x0f, 0xc8 | (dst & 7));
  }

  // --- atomics ----------------------------------------------------------------------------------------------------

  /** Prefix: locks the next instruction, as in `a.lock().inc(m)`. */
  lock(): this {
    this.#emit(0xf0);
    return this;
  }

  /** xadd m, r */
  xadd(dst: Mem, src: Reg, size: 4 | 8 = 8): void {
    this.#encode(0x0fc1, src, dst, { size });
  }

  /** cmpxchg m, r: compares with rax */
  cmpxchg(dst: Mem, src: Reg, size: 4 | 8 = 8): void {
    this.#encode(0x0fb1, src, dst, { size });
  }

  /** cmpxchg16b m: compares with rdx:rax, stores rcx:rbx */
  cmpxchg16b(dst: Mem): void {
    this.#encode(0x0fc7, 1, dst, { size: 8 });
  }

  // --- control ----------------------------------------------------------------------------------------------------

  /** jmp label */
  jmp(target: Label, reach: Reach = 'near'): void {
    this.#jump(target, reach, 0xeb, 0xe9);
  }

  /** jcc label */
  jcc(condition: ConditionCode, target: Label, reach: Reach = 'near'): void {
    this.#jump(target, reach, 0x70 | CONDITION[condition], 0x0f80 | CONDITION[condition]);
  }

  /** jrcxz label, which must be within 127 bytes: if rcx is zero; no flags */
  jrcxz(target: Label): void {
    this.#emit(0xe3);
    this.#hole(target, 1);
  }

  /** call label */
  call(target: Label): void {
    this.#emit(0xe8);
    this.#hole(target, 4);
  }

  /** jmp rel32 to an address. @throws RangeError if it is more than 2 GB away */
  jmpTo(target: bigint): void {
    this.#emit(0xe9);
    this.#imm(this.#distance(target, 4), 4);
  }

  /** call rel32 to an address. @throws RangeError if it is more than 2 GB away */
  callTo(target: bigint): void {
    this.#emit(0xe8);
    this.#imm(this.#distance(target, 4), 4);
  }

  /** True if a rel32 near the next instruction can reach `target`. */
  reaches(target: bigint): boolean {
    return fits32(target - this.address + 64n) && fits32(target - this.address - 64n);
  }

  /** jmp r/m64 */
  jmpIndirect(target: RegMem): void {
    this.#encode(0xff, 4, target, { size: 4 });
  }

  /** call r/m64 */
  callIndirect(target: RegMem): void {
    this.#encode(0xff, 2, target, { size: 4 });
  }

  /** ret */
  ret(): void {
    this.#emit(0xc3);
  }

  // --- the processor ----------------------------------------------------------------------------------------------

  /** syscall */
  syscall(): void {
    this.#emit(0x0f, 0x05);
  }

  /** rdtsc: the time-stamp counter into edx:eax */
  rdtsc(): void {
    this.#emit(0x0f, 0x31);
  }

  /** rdpid r64: IA32_TSC_AUX */
  rdpid(dst: Reg): void {
    this.#emit(0xf3);
    this.#encode(0x0fc7, 7, dst, { size: 4 });
  }

  /** lsl r32, r32: the limit of the segment selected by src */
  lsl(dst: Reg, src: Reg): void {
    this.#encode(0x0f03, dst, src, { size: 4 });
  }

  /** lahf: flags but the overflow flag into ah */
  lahf(): void {
    this.#emit(0x9f);
  }

  /** sahf: ah into flags */
  sahf(): void {
    this.#emit(0x9e);
  }

  /** pushfq */
  pushfq(): void {
    this.#emit(0x9c);
  }

  /** popfq */
  popfq(): void {
    this.#emit(0x9d);
  }

  /** int3 */
  int3(): void {
    this.#emit(0xcc);
  }

  /** Bytes that were assembled elsewhere for exactly this address. */
  raw(bytes: Uint8Array): void {
    for (const byte of bytes) this.#bytes.push(byte);
  }

  // --- encoding ---------------------------------------------------------------------------------------------------

  /** The forms `op r/m, r` at `opcode` and `op r, r/m` at `opcode` + 2, each + 1 unless for bytes. */
  #regMem(opcode: number, dst: RegMem, src: RegMem, size: Size): void {
    const wide = size === 1 ? opcode : opcode | 1;
    if (typeof src === 'number') this.#encode(wide, src, dst, { size, bytes: 'both' });
    else if (typeof dst === 'number') this.#encode(wide | 2, dst, src, { size, bytes: 'both' });
    else throw new TypeError('only one operand can be in memory');
  }

  /** [66] [REX] opcode ModRM [SIB] [disp]; `reg` is a register or a /digit. */
  #encode(opcode: number, reg: number, rm: RegMem, { size, tail = 0, bytes = 'none' }: Form): void {
    if (typeof rm !== 'number' && 'segment' in rm && rm.segment === 'fs') this.#emit(0x64);
    if (size === 2) this.#emit(0x66);
    const byteReg = size === 1 && bytes === 'both' && reg >= 4;
    const byteRm = (size === 1 || bytes === 'rm') && bytes !== 'none' && typeof rm === 'number' && rm >= 4;
    const [x, b] = typeof rm === 'number' ? [0, rm] : 'absolute' in rm ? [0, 0] : [rm.index ?? 0, rm.base ?? 0];
    const rex = ((size === 8 ? 1 : 0) << 3) | ((reg >> 3) << 2) | ((x >> 3) << 1) | (b >> 3);
    if (rex !== 0 || byteReg || byteRm) this.#emit(0x40 | rex);
    if (opcode > 0xff) this.#emit(opcode >> 8);
    this.#emit(opcode & 0xff);
    if (typeof rm === 'number') this.#emit(modrm(3, reg, rm));
    else this.#memory(reg, rm, tail);
  }

  #memory(reg: number, rm: Mem, tail: number): void {
    if ('absolute' in rm) {
      const distance = rm.absolute - (this.address + BigInt(5 + tail));
      if (fits32(distance)) {
        this.#emit(modrm(0, reg, 5));
        this.#imm(distance, 4);
      } else if (fits32(BigInt.asIntN(64, rm.absolute))) {
        this.#emit(modrm(0, reg, 4), sib(1, 4, 5));
        this.#imm(rm.absolute, 4);
      } else {
        throw new RangeError(`0x${rm.absolute.toString(16)} cannot be reached from 0x${this.address.toString(16)}`);
      }
      return;
    }
    const { base, index, scale, disp } = rm;
    if (index === Reg.RSP) throw new RangeError('rsp cannot be an index');
    if (base === undefined) {
      this.#emit(modrm(0, reg, 4), sib(scale, index ?? 4, 5));
      this.#imm(BigInt(disp), 4);
      return;
    }
    // rbp and r13 as base without displacement would mean something else; rsp and r12 need a SIB byte.
    const mod = disp === 0 && (base & 7) !== 5 ? 0 : fits8(disp) ? 1 : 2;
    if (index === undefined && (base & 7) !== 4) this.#emit(modrm(mod, reg, base));
    else this.#emit(modrm(mod, reg, 4), sib(scale, index ?? 4, base));
    if (mod === 1) this.#imm(BigInt(disp), 1);
    if (mod === 2) this.#imm(BigInt(disp), 4);
  }

  #jump(target: Label, reach: Reach, short: number, near: number): void {
    const back = target.offset === undefined ? undefined : target.offset - (this.size + 2);
    const isShort = back === undefined ? reach === 'short' : fits8(back);
    const opcode = isShort ? short : near;
    if (opcode > 0xff) this.#emit(opcode >> 8);
    this.#emit(opcode & 0xff);
    this.#hole(target, isShort ? 1 : 4);
  }

  #hole(label: Label, size: 1 | 4 | 8): void {
    this.#fixups.push({ at: this.size, size, label });
    this.#imm(0n, size);
  }

  /** From the end of the next `size` bytes to `target`. */
  #distance(target: bigint, size: number): bigint {
    const distance = target - (this.address + BigInt(size));
    if (fits32(distance)) return distance;
    throw new RangeError(`0x${target.toString(16)} cannot be reached from 0x${this.address.toString(16)}`);
  }

  /** A REX prefix, if any bit of it is set. */
  #rex(w: number, r: number, b: number): void {
    if ((w | r | b) !== 0) this.#emit(0x40 | (w << 3) | (r << 2) | b);
  }

  #imm(value: bigint, size: number): void {
    if (size === 8) {
      this.#imm(value, 4);
      this.#imm(value >> 32n, 4);
      return;
    }
    const low = Number(BigInt.asIntN(32, value));
    for (let shift = 0; shift < size * 8; shift += 8) this.#bytes.push((low >> shift) & 0xff);
  }

  #emit(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }
}

/** True if the number is the sign extension of its low 8 bits. */
export function fits8(value: number | bigint): boolean {
  return value >= -128 && value <= 127;
}

/** True if the number is the sign extension of its low 32 bits. */
export function fits32(value: number | bigint): boolean {
  return value >= -0x8000_0000 && value <= 0x7fff_ffff;
}

/** Operations are 32 or 64 bits wide, operands 4 or 8 bytes. */
export function bytesOf(width: Width): 4 | 8 {
  return width === 32 ? 4 : 8;
}

/** An immediate as the processor will see it in an operand of `size` bytes. */
function signed(value: number | bigint, size: Size): bigint {
  const imm = BigInt.asIntN(size * 8, BigInt(value));
  if (!fits32(imm)) throw new RangeError(`immediate ${imm} does not fit in 32 bits`);
  return imm;
}

function immediateSize(size: Size): 1 | 2 | 4 {
  return size === 8 ? 4 : size;
}

function modrm(mod: number, reg: number, rm: number): number {
  return (mod << 6) | ((reg & 7) << 3) | (rm & 7);
}

function sib(scale: number, index: number, base: number): number {
  return ((31 - Math.clz32(scale)) << 6) | ((index & 7) << 3) | (base & 7);
}
