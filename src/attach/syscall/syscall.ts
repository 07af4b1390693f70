/**
 * Programs at system calls: the seed's system call tracepoints. The instructions beside each `syscall` are displaced into a trampoline
 * that runs the programs; where the number is known from the code, only calls that somebody traces are touched.
 */
import { BpfError } from '../../errors.ts';
import type { Injection } from '../../inject/injection.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import type { LoadFollower } from '../loads.ts';
import { CallSites } from './call-sites.ts';
import { codeWithoutFile } from './code-without-file.ts';
import { SYSCALL_KINDS, type SyscallKind } from './kinds.ts';
import { parseSyscall, type SyscallEvent, type SyscallPrivateData } from './private-data.ts';
import { SyscallEntry } from './syscall-entry.ts';

export class SyscallAttachImpl implements AttachImpl<SyscallPrivateData>, LoadFollower {
  readonly kinds = SYSCALL_KINDS;
  readonly parsePrivateData = parseSyscall;
  readonly #injection: Injection;
  readonly #sites: CallSites;
  readonly #entries = new Set<SyscallEntry>();
  /** What was mapped executable when it was looked at last, and all of that was attached to. */
  #seen = '';

  constructor(injection: Injection) {
    this.#injection = injection;
    this.#sites = new CallSites(injection);
  }

  createAttach(kind: AttachKind, at: SyscallPrivateData, callback: EbpfCallback): AttachEntry {
    const syscall = kindOf(kind);
    const entry = new SyscallEntry(this.#sites, { at, callback, kind: syscall, event: eventOf(syscall, at) });
    const refusals = entry.attachTo(this.#sites.modules());
    if (entry.addresses.length === 0) throw nowhere(at, refusals[0]);
    entry.codeWithoutFile = codeWithoutFile(this.#injection).length;
    this.#entries.add(entry);
    this.#seen = '';
    entry.onDetach = () => {
      this.#entries.delete(entry);
      this.#injection.onFailure(() => this.#entries.add(entry));
    };
    return entry;
  }

  /** Code that was mapped since has its calls traced too. */
  update(): void {
    if (this.#entries.size === 0) return;
    const seen = this.#injection.process.executableMaps();
    if (seen === this.#seen) return;
    this.#injection.forgetUnloaded();
    const regions = codeWithoutFile(this.#injection).length;
    for (const entry of this.#entries) entry.codeWithoutFile = regions;
    const calls = this.#sites.modules();
    const added: (() => void)[] = [];
    try {
      this.#injection.batch(() => {
        for (const entry of this.#entries) {
          added.push(entry.mark());
          entry.attachTo(calls);
        }
      });
      this.#seen = seen;
    } catch (error) {
      // Another time: what was mapped may be gone by now.
      for (const undo of added.reverse()) undo();
      if (!(error instanceof BpfError)) throw error;
    }
  }
}

/** @throws {AttachError} ATTACH_BAD_TARGET if the kind has no such place */
function eventOf(kind: SyscallKind, at: SyscallPrivateData): SyscallEvent {
  const { event } = at;
  if (kind.accepts.includes(event.form)) return { ...event, when: kind.when ?? event.when };
  const example = { syscalls: 'syscalls/sys_enter_openat', raw_syscalls: '', raw: 'sys_enter', name: 'openat' }[
    kind.accepts[0]!
  ];
  throw new AttachError('ATTACH_BAD_TARGET', `cannot attach to ${kind.name} '${at}': it has no such place`, {
    fix: `as in '${kind.sections[0]}/${example}'`,
  });
}

function nowhere(at: SyscallPrivateData, cause: AttachError | undefined): AttachError {
  return new AttachError(
    'ATTACH_NO_SYSCALL_SITE',
    `cannot attach to ${at}: no place that can be reached makes this call`,
    {
      why: cause?.message ?? 'no file that the process maps has a system call instruction for it',
      cause,
    },
  );
}

function kindOf({ type }: AttachKind): SyscallKind {
  const kind = SYSCALL_KINDS.find((one) => one.type === type);
  if (kind !== undefined) return kind;
  throw new AttachError('ATTACH_NO_IMPL', `cannot attach: attach type ${type} is none of system calls`);
}
