/** A program's machine code as text, sorted under the bytecode instructions it was made from. */
import { compileForListing, disassembleX64, type LinkedProgram, type MapSpec } from '../index.ts';

/** One machine instruction. */
export interface NativeLine {
  readonly address: bigint;
  /** In hex. */
  readonly bytes: string;
  /** Intel syntax. */
  readonly text: string;
}

/** Each group in ascending order of address. */
export interface NativeListing {
  /** What comes first and no instruction asked for: saved registers. */
  readonly before: readonly NativeLine[];
  /** By index of the bytecode instruction; those that nothing is left of have no entry. */
  readonly byInsn: ReadonlyMap<number, readonly NativeLine[]>;
  /** The rest: restored registers, and functions that several instructions share. */
  readonly after: readonly NativeLine[];
}

/** Compiles a program for a place of no process, and lists the code. */
export function listNative(program: LinkedProgram, maps: readonly MapSpec[]): NativeListing {
  const { bytes, origin, lines } = compileForListing(program, maps);
  const before: NativeLine[] = [];
  const after: NativeLine[] = [];
  const byInsn = new Map<number, NativeLine[]>();
  let mark = 0;
  for (const { address, size, text } of disassembleX64(bytes, origin)) {
    const offset = Number(address - origin);
    while ((lines[mark]?.offset ?? Number.POSITIVE_INFINITY) <= offset) mark++;
    const insn = lines[mark - 1]?.origin;
    const line = { address, bytes: Buffer.from(bytes.subarray(offset, offset + size)).toString('hex'), text };
    if (insn === undefined) (byInsn.size === 0 ? before : after).push(line);
    else if (byInsn.has(insn)) byInsn.get(insn)!.push(line);
    else byInsn.set(insn, [line]);
  }
  return { before, byInsn, after };
}
