/** A program's bytecode as lines: text with the names of maps, helpers and functions, and the source it came from. */
import { disassemble, HELPERS, type Insn, type LinkedProgram, type Reference, type SourceLine } from '../index.ts';

export interface ListedInsn {
  /** As the kernel and bpftool number instructions: a lddw takes two. */
  readonly slot: number;
  readonly opcode: number;
  readonly text: string;
  /** The function that begins here. */
  readonly function: string | undefined;
  /** The source line that begins here. */
  readonly source: SourceLine | undefined;
}

/** Lists a linked program, one element per instruction. */
export function listBytecode({ insns, references, subprograms, lines }: LinkedProgram): ListedInsn[] {
  const functionAt = new Map(subprograms.map(({ name, start }) => [start, name]));
  const functionAtSlot = new Map(subprograms.map(({ name, start }) => [insns[start]!.slot, name]));
  const referenceOf = new Map<Insn, Reference>([...references].map(([index, reference]) => [insns[index]!, reference]));
  const names = {
    helper: (id: number) => HELPERS.get(id)?.name,
    label: (slot: number) => functionAtSlot.get(slot) ?? `${slot}`,
    reference: (insn: Insn) => {
      const reference = referenceOf.get(insn);
      return reference === undefined ? undefined : referenceText(reference, functionAt);
    },
  };
  return insns.map((insn, index) => ({
    slot: insn.slot,
    opcode: insn.opcode,
    text: disassemble(insn, names),
    function: functionAt.get(index),
    source: lines.get(index),
  }));
}

/** In bpftool's notation, with names for numbers: `map[counts]`, `map[.data][0]+8`. */
function referenceText(reference: Reference, functionAt: ReadonlyMap<number, string>): string {
  switch (reference.kind) {
    case 'map':
      return `map[${reference.map}]`;
    case 'mapValue':
      return `map[${reference.map}][0]+${reference.offset}`;
    case 'function':
      return `subprog[${functionAt.get(reference.insn) ?? reference.insn}]`;
  }
}
