/** One eBPF instruction, decoded. Source: RFC 9669, section 3. */

export interface Insn {
  /** The opcode byte: class in the low 3 bits. */
  readonly opcode: number;
  /** Register numbers, 0 to 10. */
  readonly dst: number;
  readonly src: number;
  /** Signed 16 bits. Jumps: counted in 8-byte slots from the next instruction, as encoded. Memory: in bytes. */
  readonly offset: number;
  /** Signed 32 bits. */
  readonly imm: number;
  /** The whole unsigned 64-bit immediate of a lddw (two slots); undefined for every other instruction. */
  readonly imm64?: bigint;
  /** The 8-byte slot the instruction begins at. Differs from its index wherever a lddw came before. */
  readonly slot: number;
}
