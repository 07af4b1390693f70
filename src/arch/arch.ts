/** What the rest of the house may know about a processor; see x64/ for the only one so far. */

/** Where a piece of emitted code came from: for listings. */
export interface CodeLine {
  /** Byte offset in the emitted code. */
  readonly offset: number;
  /** Index of the eBPF instruction, or undefined for code no instruction asked for. */
  readonly origin: number | undefined;
}

/** Code made for one address. */
export interface MachineCode {
  readonly bytes: Uint8Array;
  /** The address `bytes[0]` must be laid at: displacements in it count from there. */
  readonly origin: bigint;
  /** In ascending order of offset. */
  readonly lines: readonly CodeLine[];
}
