/**
 * The eBPF opcode byte, in the words of RFC 9669, section 3.
 *
 *     alu, jmp:   msb | code:4 | source:1 | class:3 | lsb
 *     load/store: msb | mode:3 | size:2   | class:3 | lsb
 */

/** The low three bits. */
export const Class = { LD: 0, LDX: 1, ST: 2, STX: 3, ALU: 4, JMP: 5, JMP32: 6, ALU64: 7 } as const;

/** K: the second operand is `imm`. X: it is the `src` register. */
export const Source = { K: 0x00, X: 0x08 } as const;

/** Codes of the ALU and ALU64 classes. DIV, MOD and MOV have variants that `offset` selects. */
export const AluCode = {
  ADD: 0x00,
  SUB: 0x10,
  MUL: 0x20,
  DIV: 0x30,
  OR: 0x40,
  AND: 0x50,
  LSH: 0x60,
  RSH: 0x70,
  NEG: 0x80,
  MOD: 0x90,
  XOR: 0xa0,
  MOV: 0xb0,
  ARSH: 0xc0,
  END: 0xd0,
} as const;

/** Codes of the JMP and JMP32 classes; CALL, EXIT and MAY (the kernel's BPF_JCOND) are of JMP only. */
export const JumpCode = {
  JA: 0x00,
  JEQ: 0x10,
  JGT: 0x20,
  JGE: 0x30,
  JSET: 0x40,
  JNE: 0x50,
  JSGT: 0x60,
  JSGE: 0x70,
  CALL: 0x80,
  EXIT: 0x90,
  JLT: 0xa0,
  JLE: 0xb0,
  JSLT: 0xc0,
  JSLE: 0xd0,
  MAY: 0xe0,
} as const;

/** Sizes of memory accesses. */
export const SizeCode = { W: 0x00, H: 0x08, B: 0x10, DW: 0x18 } as const;

/** Modes of the load and store classes. ABS and IND are classic BPF. */
export const Mode = { IMM: 0x00, ABS: 0x20, IND: 0x40, MEM: 0x60, MEMSX: 0x80, ATOMIC: 0xc0 } as const;

/** `imm` of an atomic instruction. */
export const AtomicCode = {
  ADD: 0x00,
  OR: 0x40,
  AND: 0x50,
  XOR: 0xa0,
  FETCH: 0x01,
  XCHG: 0xe1,
  CMPXCHG: 0xf1,
} as const;

/** `src` of a call. */
export const CallKind = { HELPER: 0, LOCAL: 1, KFUNC: 2 } as const;

/** `src` of a lddw: what its immediate stands for. RFC 9669, section 5.4. */
export const LddwKind = {
  NUMBER: 0,
  MAP_FD: 1,
  MAP_FD_VALUE: 2,
  VARIABLE: 3,
  FUNCTION: 4,
  MAP_INDEX: 5,
  MAP_INDEX_VALUE: 6,
} as const;

/** The frame pointer: the address just above the 512 bytes of the running function's stack. */
export const FRAME_POINTER = 10;
/** r0 to r10. */
export const REGISTER_COUNT = 11;
