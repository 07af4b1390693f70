/** System calls by pattern, and from where in a process each can be seen. */
import { globMatcher } from '../../process/glob.ts';
import { didYouMean, suggest } from '../../process/suggest.ts';
import { AttachError } from '../errors.ts';
import type { SyscallPlace } from './module-calls.ts';
import { SYSCALL_NUMBERS } from './names.ts';

/** A system call that programs can be attached to. */
export interface ListedSyscall {
  readonly name: string;
  readonly number: number;
}

/** The places of a process that may make one call. */
export interface SyscallCoverage {
  /** That make it and no other. */
  readonly own: readonly SyscallPlace[];
  /** Whose number is known only at run time. */
  readonly any: readonly SyscallPlace[];
  /** Of both, those that no program can be attached to. */
  readonly unreached: readonly SyscallPlace[];
}

/** The calls whose names match, with `*` and `?`, by name. @throws {AttachError} ATTACH_NO_SYSCALL */
export function listSyscalls(pattern: string): readonly ListedSyscall[] {
  const matches = globMatcher(pattern);
  const found = [...SYSCALL_NUMBERS].filter(([name]) => matches(name)).map(([name, number]) => ({ name, number }));
  if (found.length > 0) return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  const fix = didYouMean(suggest(pattern.replace(/[*?]/g, ''), SYSCALL_NUMBERS.keys()));
  throw new AttachError(
    'ATTACH_NO_SYSCALL',
    `cannot find system call '${pattern}': x86-64 has none of that name`,
    fix === undefined ? {} : { fix },
  );
}

/** Which of a process's places may make a call. */
export function syscallCoverage(places: readonly SyscallPlace[], call: number): SyscallCoverage {
  const own = places.filter(({ number }) => number === call);
  const any = places.filter(({ number }) => number === undefined);
  return { own, any, unreached: [...own, ...any].filter(({ refusal }) => refusal !== undefined) };
}
