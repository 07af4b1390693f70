/** What an object file describes: blueprints, not live things. Same bytes in, same specs out, on every machine. */
import type { Btf } from '../btf/btf.ts';
import type { BpfError } from '../errors.ts';
import type { Insn } from '../insn/insn.ts';
import type { MapSpec } from '../maps/map-type.ts';

/** What one lddw of the program loads, once linked. */
export type Reference =
  /** BPF_PSEUDO_MAP_FD: the map itself, as helpers take it. */
  | { readonly kind: 'map'; readonly map: string }
  /** BPF_PSEUDO_MAP_VALUE: the address `offset` bytes into the only value of a data map. */
  | { readonly kind: 'mapValue'; readonly map: string; readonly offset: number }
  /** BPF_PSEUDO_FUNC: the address of the subprogram that begins at instruction `insn` of the linked program. */
  | { readonly kind: 'function'; readonly insn: number };

/** Where an instruction came from, by BTF.ext. */
export interface SourceLine {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly column: number;
  /** The source text, as the compiler stored it. */
  readonly text: string;
}

/** A function inside a linked program: the main one first, then every subprogram it reaches. */
export interface Subprogram {
  readonly name: string;
  /** Index of its first instruction in `insns`; it ends where the next one begins. */
  readonly start: number;
  readonly linkage: 'static' | 'global';
  /** Id of its `func` in the object's BTF, if that has one. */
  readonly type?: number;
}

/** A program whose calls and references are resolved; subprograms follow the main one. */
export interface LinkedProgram {
  readonly name: string;
  /** Full section name, as in `uprobe/libc.so.6:malloc`; attach kinds read its prefix. */
  readonly section: string;
  /** True if the section's name began with `?`: it is loaded only if it is asked for. */
  readonly isOptional?: true;
  /** One element per instruction: lddw is one, so indexes here are not 8-byte slots. */
  readonly insns: readonly Insn[];
  /** Index in `insns` of a lddw -> what it loads. Other lddw load their number. */
  readonly references: ReadonlyMap<number, Reference>;
  readonly subprograms: readonly Subprogram[];
  /** Index in `insns` -> source line, for those that begin a line. */
  readonly lines: ReadonlyMap<number, SourceLine>;
  /** Index in `insns` -> the field, type or number that the instruction is about, and that the kernel has not; the kernel function that is not here. */
  readonly missing?: ReadonlyMap<number, string>;
}

export interface ObjectSpec {
  /** The `license` section's text, '' if there is none. */
  readonly license: string;
  /** In section order; linked already. Names are unique. */
  readonly programs: readonly LinkedProgram[];
  /** `.maps` in order of definition, then the data sections and `.kconfig`. Names are unique. */
  readonly maps: readonly MapSpec[];
  /** undefined if the object has no BTF; then keys and values have no types. */
  readonly btf: Btf | undefined;
  /** The section that `btf` was read from. */
  readonly btfBytes: Uint8Array | undefined;
}

/** A program of the file that cannot be linked. */
export interface UnlinkedProgram {
  readonly name: string;
  readonly section: string;
  readonly isOptional?: true;
  readonly error: BpfError;
}

/** An object read as far as it can be: for looking at its programs, not for loading them. */
export interface ObjectSurvey extends ObjectSpec {
  /** In section order. */
  readonly unlinked: readonly UnlinkedProgram[];
  /** What else stands in the way of loading the object. */
  readonly obstacles: readonly BpfError[];
}
