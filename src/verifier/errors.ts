/** Why a program was refused. The messages of well-known refusals are the kernel's, so that a search finds the answer. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';
import type { LinkedProgram, SourceLine } from '../object/spec.ts';

/** Error code -> the line the docs print. */
export const VERIFIER_ERRORS = {
  VERIFIER_TOO_LARGE: 'a program has at least one and at most a million instructions',
  VERIFIER_BAD_JUMP: 'a jump leaves its function, or goes into the middle of a lddw',
  VERIFIER_BAD_CALL: 'a local call goes to a place where no function begins',
  VERIFIER_FALL_THROUGH: 'a function ends neither in exit nor in a jump',
  VERIFIER_UNREACHABLE: 'an instruction that nothing reaches',
  VERIFIER_INFINITE_LOOP: 'a loop comes back to a state it has been in: it may never end',
  VERIFIER_TOO_COMPLEX: 'more than a million instructions to look at, over all paths',
  VERIFIER_RECURSION: 'a function calls itself, at once or through others',
  VERIFIER_TOO_MANY_FRAMES: 'more than 8 functions active at once',
  VERIFIER_STACK_TOO_LARGE: 'functions active at once use more than 512 bytes of stack together',
  VERIFIER_STACK_ACCESS: 'an access outside the 512 bytes below the frame pointer',
  VERIFIER_UNINITIALIZED: 'a register is read that was not written on every path to there',
  VERIFIER_BAD_NUMBER: 'a division by the number 0, or a shift by as much as the register has bits',
  VERIFIER_POINTER_ARITHMETIC: 'arithmetic after which nobody knows where a pointer points',
  VERIFIER_BAD_ACCESS: 'an access to memory that the pointer need not point to',
  VERIFIER_MISALIGNED: 'an access to the stack or the context that is not aligned to its size',
  VERIFIER_BAD_ARGUMENT: 'a helper or a global function is given what it does not take',
  VERIFIER_BAD_RETURN: 'a function returns what its callers cannot use',
  VERIFIER_REFERENCE: 'something that was acquired is not given back, or not by its pointer',
  VERIFIER_NOT_ALLOWED: 'it needs what programs of this kind, or this user, may not do',
  VERIFIER_UNSUPPORTED: 'it uses something that is not supported here',
  VERIFIER_FRAME_POINTER: 'r10 may not be written',
  VERIFIER_UNKNOWN_HELPER: 'no helper has this number, or none that programs of this kind may call',
  VERIFIER_NO_SUCH_FIELD:
    'it uses a field or type that the kernel has not, without a check that it exists (bpf_core_field_exists)',
  VERIFIER_BAD_TYPES: 'the types in the object of a map or a function that it uses are malformed',
  VERIFIER_KFUNC: 'a function of the kernel is called that is not here',
  VERIFIER_UNRESOLVED: 'a lddw stands for something that was not linked',
} as const;

export type VerifierErrorCode = keyof typeof VERIFIER_ERRORS;

/** A refused program. Instruction numbers in messages are slots, as in disassembly and in the kernel's log. */
export class VerifierError extends BpfError {
  override readonly name = 'VerifierError';
  override readonly code: VerifierErrorCode;
  /** Index in the program's `insns`. */
  readonly insn: number;
  /** The source line that instruction belongs to, if the object tells. */
  readonly line: SourceLine | undefined;
  /** What is wrong, without what cannot be done. */
  readonly reason: string;

  constructor(
    code: VerifierErrorCode,
    { cannot, reason }: { cannot: string; reason: string },
    at: { insn: number; line: SourceLine | undefined },
    options?: BpfErrorOptions,
  ) {
    super(`${cannot}: ${reason}`, options);
    this.code = code;
    this.reason = reason;
    this.insn = at.insn;
    this.line = at.line;
  }
}

/** Makes the error for instruction `insn` of `program`; `reason` is in the kernel's words where it has any. */
export function refusal(program: LinkedProgram, insn: number, code: VerifierErrorCode, reason: string): VerifierError {
  const line = lineOf(program, insn);
  const where = line === undefined ? {} : { why: `${line.file}:${line.line}: ${line.text.trim()}` };
  return new VerifierError(code, { cannot: `cannot accept program ${program.name}`, reason }, { insn, line }, where);
}

/** A line covers the instructions up to the next one that begins a line. */
function lineOf({ lines, subprograms }: LinkedProgram, insn: number): SourceLine | undefined {
  const start = subprograms.findLast((subprogram) => subprogram.start <= insn)?.start ?? 0;
  for (let index = insn; index >= start; index--) {
    const line = lines.get(index);
    if (line !== undefined) return line;
  }
  return undefined;
}
