/**
 * What a program's kind lets it do with its context. Source: Linux kernel/trace/bpf_trace.c, the `is_valid_access` of
 * kprobes, tracepoints and raw tracepoints.
 */

/** One kind of program. */
export interface ProgramKind {
  readonly name: 'uprobe' | 'tracepoint' | 'raw_tracepoint';
  /** Bytes of the context: reads begin at `first` and end at `size`. */
  readonly context: { readonly first: number; readonly size: number };
  /** Offsets that may be written, with eight bytes each, if the user allows programs to change the target. */
  readonly writable: readonly number[];
  /** Names by which a global function's BTF may say that an argument is the context. */
  readonly contextTypes: readonly string[];
}

/** Prefixes of section names that say another kind than uprobe: what stands before the first slash. */
const SECTIONS: Readonly<Record<string, ProgramKind['name']>> = {
  tracepoint: 'tracepoint',
  tp: 'tracepoint',
  raw_tracepoint: 'raw_tracepoint',
  raw_tp: 'raw_tracepoint',
};

/** The kind of the programs in a section; a question mark in front says that they are not attached unless asked for. */
export function kindOfSection(section: string): ProgramKind {
  const [prefix] = section.replace(/^\?/, '').split('/', 1);
  return PROGRAM_KINDS[SECTIONS[prefix!] ?? 'uprobe'];
}

/** sizeof(struct pt_regs) of x86-64. */
const PT_REGS_SIZE = 168;
/** Where struct pt_regs keeps the stack pointer. */
const PT_REGS_SP = 152;

/** Where a record of sys_enter keeps the arguments; the first is where one of sys_exit has the result. */
const ARGUMENTS = [16, 24, 32, 40, 48, 56];

/** Every kind, by name. */
export const PROGRAM_KINDS: Readonly<Record<ProgramKind['name'], ProgramKind>> = {
  uprobe: {
    name: 'uprobe',
    context: { first: 0, size: PT_REGS_SIZE },
    writable: Array.from({ length: PT_REGS_SIZE / 8 }, (_, index) => index * 8).filter((at) => at !== PT_REGS_SP),
    contextTypes: ['bpf_user_pt_regs_t', 'pt_regs', 'user_regs_struct'],
  },
  // Behind the common head of a trace record: PERF_MAX_TRACE_SIZE. The kernel lets nobody write; we arguments and result of a system call.
  tracepoint: { name: 'tracepoint', context: { first: 8, size: 8192 }, writable: ARGUMENTS, contextTypes: [] },
  // MAX_BPF_FUNC_ARGS words.
  raw_tracepoint: {
    name: 'raw_tracepoint',
    context: { first: 0, size: 96 },
    writable: [],
    contextTypes: ['bpf_raw_tracepoint_args'],
  },
};
