/** The exit code of every failure. */
import { BpfError } from '../errors.ts';

/** Exit codes: a contract for scripts. */
export const Exit = {
  OK: 0,
  RUN_TIME: 1,
  USAGE: 2,
  PERMISSION: 3,
  NOT_FOUND: 4,
  UNSUPPORTED: 5,
  REJECTED: 6,
} as const;
export type ExitCode = (typeof Exit)[keyof typeof Exit];

/** Error code, or the beginning of one that ends in `_` -> exit code. The longest that fits decides. */
export const EXIT_CODES: Readonly<Record<string, ExitCode>> = {
  CLI_BAD_USAGE: Exit.USAGE,
  CLI_BAD_INPUT: Exit.USAGE,
  CLI_BAD_FILE: Exit.USAGE,
  CLI_NO_PROGRAM: Exit.NOT_FOUND,
  PROCESS_NOT_STARTED: Exit.NOT_FOUND,
  CLI_NO_SESSION: Exit.NOT_FOUND,
  CLI_NO_PERMISSION: Exit.PERMISSION,
  CLI_NOT_YET: Exit.UNSUPPORTED,
  ELF_: Exit.USAGE,
  BTF_: Exit.USAGE,
  OBJECT_: Exit.USAGE,
  OBJECT_DATA_RELOCATION: Exit.UNSUPPORTED,
  OBJECT_EXTERN: Exit.UNSUPPORTED,
  INSN_: Exit.REJECTED,
  VERIFIER_: Exit.REJECTED,
  MAP_: Exit.UNSUPPORTED,
  HELPER_: Exit.UNSUPPORTED,
  COMPILE_: Exit.UNSUPPORTED,
  COMPILE_NOT_ALLOWED: Exit.USAGE,
  PROCESS_NOT_FOUND: Exit.NOT_FOUND,
  PROCESS_NOT_A_PROCESS: Exit.NOT_FOUND,
  PROCESS_EXITED: Exit.NOT_FOUND,
  PROCESS_MODULE_NOT_FOUND: Exit.NOT_FOUND,
  PROCESS_SYMBOL_NOT_FOUND: Exit.NOT_FOUND,
  PROCESS_SYMBOL_AMBIGUOUS: Exit.USAGE,
  PROCESS_PERMISSION: Exit.PERMISSION,
  PROCESS_TRACED: Exit.PERMISSION,
  PROCESS_SECCOMP: Exit.PERMISSION,
  PROCESS_SELF: Exit.UNSUPPORTED,
  PROCESS_TRACES_US: Exit.UNSUPPORTED,
  PROCESS_FROZEN: Exit.UNSUPPORTED,
  PROCESS_KERNEL_THREAD: Exit.UNSUPPORTED,
  PROCESS_WRONG_ARCH: Exit.UNSUPPORTED,
  PROCESS_NO_ROOM: Exit.UNSUPPORTED,
  PROCESS_IFUNC_UNRESOLVED: Exit.UNSUPPORTED,
  INJECT_UNKNOWN_JOURNAL: Exit.UNSUPPORTED,
  INJECT_NO_GAP: Exit.UNSUPPORTED,
  INJECT_CODE_TOO_LARGE: Exit.UNSUPPORTED,
  ATTACH_BAD_TARGET: Exit.USAGE,
  ATTACH_NO_IMPL: Exit.UNSUPPORTED,
  ATTACH_NO_USDT: Exit.NOT_FOUND,
  ATTACH_NO_SYSCALL: Exit.NOT_FOUND,
  ATTACH_NO_SYSCALL_SITE: Exit.NOT_FOUND,
  ATTACH_USDT_ARGUMENT: Exit.UNSUPPORTED,
  ATTACH_SITE_: Exit.UNSUPPORTED,
  ATTACH_ENTRY_ONLY: Exit.UNSUPPORTED,
  ATTACH_NOT_ALLOWED: Exit.USAGE,
  ATTACH_RETURN_REFUSED: Exit.UNSUPPORTED,
  OBJECT_NO_PROGRAM: Exit.NOT_FOUND,
  RUNTIME_NO_PROGRAM: Exit.NOT_FOUND,
  RUNTIME_LEFT_OUT: Exit.UNSUPPORTED,
  RUNTIME_NO_SECTION_TARGET: Exit.USAGE,
  RUNTIME_BAD_MAP_PLACE: Exit.USAGE,
  RUNTIME_NO_MAP: Exit.NOT_FOUND,
  RUNTIME_NO_VARIABLE: Exit.NOT_FOUND,
  RUNTIME_BAD_VARIABLE: Exit.USAGE,
  RUNTIME_PIN_MISMATCH: Exit.USAGE,
  RUNTIME_SECCOMP: Exit.UNSUPPORTED,
  SYS_EPERM: Exit.PERMISSION,
  SYS_EACCES: Exit.PERMISSION,
};

/** The exit code for what was thrown: of a chain of causes, the outermost that has one. */
export function exitCodeOf(error: unknown): ExitCode {
  for (const link of causes(error)) {
    if (!(link instanceof BpfError)) continue;
    const { code } = link;
    const fitting = Object.keys(EXIT_CODES).filter(
      (key) => key === code || (key.endsWith('_') && code.startsWith(key)),
    );
    const closest = fitting.reduce((best, key) => (key.length > best.length ? key : best), '');
    if (closest !== '') return EXIT_CODES[closest]!;
  }
  return Exit.RUN_TIME;
}

/** The error and its causes, outermost first; bounded, should they bite their own tail. */
export function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  let link = firstOf(error);
  for (; link instanceof Error && chain.length < 8; link = firstOf(link.cause)) chain.push(link);
  return chain;
}

/** What went wrong first: leaving a `using` block after an error can fail too. */
function firstOf(error: unknown): unknown {
  return error instanceof Error && 'suppressed' in error ? firstOf(error.suppressed) : error;
}
