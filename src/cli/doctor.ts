/** `remora doctor`: may I attach, and if not, why and what to do. Looks, and touches nothing. */
import { Command } from 'commander';
import { BpfError } from '../errors.ts';
import type { AttachFacts } from '../index.ts';
import { CliError } from './errors.ts';
import { Exit, exitCodeOf } from './exit-codes.ts';
import { describeFailure } from './failure.ts';
import { parsePid, shared } from './options.ts';
import { Output } from './output.ts';
import { count, paletteFor, printable, table } from './text.ts';

interface DoctorOptions {
  readonly json?: true;
  readonly o?: string;
  readonly color: boolean;
}

/** What was found out. */
interface Findings {
  /** About this process: who asks, and what the system lets it do. */
  readonly own: AttachFacts;
  readonly pid: number | undefined;
  /** About the process asked for; undefined if none was, or it is not there. */
  readonly target: AttachFacts | undefined;
  /** Why it cannot be attached to; undefined if it can. */
  readonly refusal: BpfError | undefined;
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .description(
      'May I attach, and if not, why and what to do? Exit code 0 if so, 3, 4 or 5 if not, 1 if not just now.',
    )
    .argument('[PID]', 'the process to attach to; without, what holds for any', parsePid)
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.noColor())
    .action(doctor);
}

async function doctor(pid: number | undefined, options: DoctorOptions): Promise<void> {
  const findings = await examine(pid);
  const { refusal } = findings;
  const output = Output.to(options.o);
  if (options.json) {
    output.line(JSON.stringify(asJson(findings)));
  } else {
    const palette = paletteFor(output, options);
    for (const line of factLines(findings)) output.line(line);
    output.line('');
    output.line(refusal === undefined ? palette.green(welcome(findings)) : describeFailure(refusal, palette));
  }
  await output.flush();
  process.exitCode = refusal === undefined ? Exit.OK : exitCodeOf(refusal);
}

async function examine(pid: number | undefined): Promise<Findings> {
  const { openProcess, readAttachFacts } = await import('../index.ts');
  const own = readAttachFacts(process.pid);
  if (pid === undefined) return { own, pid, target: undefined, refusal: ownRefusal(own) };
  let target: AttachFacts | undefined;
  try {
    target = readAttachFacts(pid);
    // The kernel has the last word: opening asks it, and leaves the process alone.
    using opened = openProcess(pid);
    return { own, pid, target, refusal: opened.whyNotStoppable() };
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { own, pid, target, refusal: error };
  }
}

/** What stands against attaching to any process that is not our child. */
function ownRefusal({ hasPtraceCapability, ptraceScope = 0 }: AttachFacts): CliError | undefined {
  if (ptraceScope === 0 || (hasPtraceCapability && ptraceScope < 3)) return undefined;
  const why = `kernel.yama.ptrace_scope is ${ptraceScope}`;
  if (ptraceScope === 3) {
    return new CliError('CLI_NO_PERMISSION', 'cannot attach to any process', {
      why: `${why}: nobody may trace`,
      fix: 'only a restart of the system can change it',
    });
  }
  return new CliError('CLI_NO_PERMISSION', 'cannot attach to processes that you have not started from here', {
    why: `${why} and you lack CAP_SYS_PTRACE`,
    fix: 'sudo remora ..., or: sudo sysctl kernel.yama.ptrace_scope=0',
  });
}

function welcome({ own, target }: Findings): string {
  if (target !== undefined) return printable(`yes: you may attach to ${target.pid} (${target.name})`);
  return own.hasPtraceCapability
    ? 'yes: you may attach to processes of every user'
    : `yes: you may attach to processes of your own, uid ${own.ownUser}`;
}

function factLines({ own, target }: Findings): string[] {
  const rows = [
    ['you', `uid ${own.ownUser}, ${own.hasPtraceCapability ? 'with' : 'without'} CAP_SYS_PTRACE`],
    ['ptrace_scope', own.ptraceScope === undefined ? 'absent: this kernel has no Yama' : `${own.ptraceScope}`],
    ...(target === undefined ? [] : targetRows(target, own)),
  ];
  return table(
    [
      { title: 'fact', align: 'left' },
      { title: 'is', align: 'left' },
    ],
    rows,
  ).slice(1);
}

function targetRows(target: AttachFacts, own: AttachFacts): [label: string, text: string][] {
  const { pid, namespacePid, tracer, seccomp } = target;
  return [
    ['process', printable(`${pid} (${target.name}), ${count(target.threadCount, 'thread')}, state ${target.state}`)],
    ['owner', `uid ${target.user}${target.user === own.ownUser ? '' : ', not you'}`],
    ['dumpable', target.dumpable ? 'yes' : 'no: it changed its user, or asked not to be traced'],
    ['tracer', tracer === undefined ? 'none' : printable(`${tracer.pid} (${tracer.name})`)],
    ['seccomp', seccomp === 'none' || !target.canSuspendSeccomp ? seccomp : `${seccomp}, which you may suspend`],
    ['architecture', target.architecture ?? 'unknown'],
    ['libc', target.libc ?? 'unknown'],
    ['control group', target.frozen ? 'frozen' : 'not frozen'],
    ['pid namespace', namespacePid === pid ? 'yours' : `another, where it is ${namespacePid}`],
  ];
}

function asJson({ own, pid, target, refusal }: Findings): object {
  return {
    type: 'doctor',
    uid: own.ownUser,
    cap_sys_ptrace: own.hasPtraceCapability,
    ptrace_scope: own.ptraceScope ?? null,
    ...(pid !== undefined && { pid }),
    ...(target !== undefined && {
      name: target.name,
      owner: target.user,
      state: target.state,
      threads: target.threadCount,
      dumpable: target.dumpable,
      tracer: target.tracer ?? null,
      seccomp: target.seccomp,
      can_suspend_seccomp: target.canSuspendSeccomp,
      arch: target.architecture ?? null,
      libc: target.libc ?? null,
      frozen: target.frozen,
      namespace_pid: target.namespacePid,
    }),
    may_attach: refusal === undefined,
    ...(refusal !== undefined && {
      code: refusal.code,
      error: refusal.message,
      why: refusal.why ?? null,
      fix: refusal.fix ?? null,
    }),
  };
}
