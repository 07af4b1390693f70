/** Which system calls, and whether at entry or exit: what stands behind the section prefixes of the kernel's tracepoints. */
import type { PrivateData } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { syscallNumber } from './names.ts';

/** A place in the life of system calls. */
export interface SyscallEvent {
  /** How it was named: `syscalls/sys_enter_NAME`, `raw_syscalls/sys_enter`, `sys_enter`, or NAME alone. */
  readonly form: 'syscalls' | 'raw_syscalls' | 'raw' | 'name';
  /** Where the name does not say it, 'enter'. */
  readonly when: 'enter' | 'exit';
  /** Of the call; undefined for every call. */
  readonly number: number | undefined;
}

export class SyscallPrivateData implements PrivateData {
  readonly event: SyscallEvent;
  readonly #text: string;

  constructor(text: string, event: SyscallEvent) {
    this.#text = text;
    this.event = event;
  }

  toString(): string {
    return this.#text;
  }
}

/**
 * Reads the name of a tracepoint or of a system call; a colon will do for the slash.
 *
 * @throws {AttachError} ATTACH_BAD_TARGET, ATTACH_NO_SYSCALL
 */
export function parseSyscall(text: string): SyscallPrivateData {
  const { category, raw, direction = raw, one, name } = PLACE.exec(text)?.groups ?? {};
  const when = direction === 'exit' ? 'exit' : 'enter';
  if (raw !== undefined) {
    const form = category === undefined ? 'raw' : 'raw_syscalls';
    return new SyscallPrivateData(text, { form, when, number: undefined });
  }
  const known = one ?? name;
  if (known !== undefined) {
    const form = one === undefined ? 'name' : 'syscalls';
    return new SyscallPrivateData(text, { form, when, number: syscallNumber(known) });
  }
  throw new AttachError(
    'ATTACH_BAD_TARGET',
    `cannot attach to '${text}': wanted a tracepoint or name of system calls`,
    {
      why: 'of tracepoints, only those of system calls are reached from inside a process',
      fix: "as in 'tracepoint/syscalls/sys_enter_openat', 'tp/raw_syscalls/sys_exit', 'raw_tp/sys_enter' or 'ksyscall/openat'",
    },
  );
}

const PLACE = new RegExp(
  [
    /(?:(?<category>raw_syscalls)[/:])?sys_(?<raw>enter|exit)/,
    /syscalls[/:]sys_(?<direction>enter|exit)_(?<one>\w+)/,
    /(?<name>[a-z_]\w*)/,
  ]
    .map(({ source }) => `^(?:${source})$`)
    .join('|'),
);
