/**
 * Programs at system calls: the seed's system call tracepoints. The instructions beside each `syscall` are displaced into a trampoline
 * that runs the programs; where the number is known from the code, only calls that somebody traces are touched.
 */
import type { Injection } from '../../inject/injection.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import type { CallProbe, CallSite } from './call-site.ts';
import { CallSites } from './call-sites.ts';
import { SYSCALL_KINDS, type SyscallKind } from './kinds.ts';
import { parseSyscall, type SyscallEvent, type SyscallPrivateData } from './private-data.ts';

export class SyscallAttachImpl implements AttachImpl<SyscallPrivateData> {
  readonly kinds = SYSCALL_KINDS;
  readonly parsePrivateData = parseSyscall;
  readonly #sites: CallSites;

  constructor(injection: Injection) {
    this.#sites = new CallSites(injection);
  }

  createAttach(kind: AttachKind, at: SyscallPrivateData, callback: EbpfCallback): AttachEntry {
    const syscall = kindOf(kind);
    const event = eventOf(syscall, at);
    const { when, number } = event;
    const mayChange = callback.allowed.has('override');
    const attached: { readonly call: CallSite; readonly probe: CallProbe }[] = [];
    const refusals: (AttachError | undefined)[] = [];
    for (const { calls, refused } of this.#sites.modules()) {
      const wanted = calls.filter((call) => number === undefined || (call.number ?? number) === number);
      if (wanted.length === 0) continue;
      for (const one of refused) if (number === undefined || (one ?? number) === number) refusals.push(undefined);
      const program = callback.compile(syscall.model(event, mayChange), wanted[0]!.address);
      for (const call of wanted) {
        const probe = { when, program: { program, number } };
        try {
          this.#sites.add(call, probe);
          attached.push({ call, probe });
        } catch (error) {
          if (!(error instanceof AttachError)) throw error;
          refusals.push(error);
        }
      }
    }
    if (attached.length === 0)
      throw nowhere(
        at,
        refusals.find((refusal) => refusal !== undefined),
      );
    const addresses = attached.map(({ call }) => call.address);
    return {
      target: `${at}`,
      address: addresses[0]!,
      addresses,
      unreached: refusals.length,
      method: refusals.length === 0 ? 'jump' : `jump, ${refusals.length} of its places not reached`,
      detach: () => {
        for (const { call, probe } of attached.splice(0)) this.#sites.remove(call, probe);
      },
    };
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
