/** The attach kinds of system calls, and what each of them lets a program see: the kernel's layouts, field by field. */
import { CONSTANT_FLAGS, PtRegs, ptRegsAtEntry } from '../../arch/x64/pt-regs.ts';
import { Reg, SYSCALL_ARGS } from '../../arch/x64/registers.ts';
import { FIXED_ARGUMENTS } from '../../arch/x64/syscall-changes.ts';
import { NUMBER_IN, PLACE_IN, SYSCALL_FREE } from '../../arch/x64/syscall-trampoline.ts';
import { struct } from '../../bytes/struct.ts';
import type { ContextModel, FieldSource } from '../../compile/context-model.ts';
import type { AttachKind } from '../attach-impl.ts';
import type { SyscallEvent } from './private-data.ts';

export interface SyscallKind extends AttachKind {
  /** What the place says must be one of these. */
  readonly accepts: readonly SyscallEvent['form'][];
  /** When its programs run; as the place says if not given. */
  readonly when?: SyscallEvent['when'];
  /** @param mayChange true if its programs may change what the call gives */
  model(event: SyscallEvent, mayChange: boolean): ContextModel;
}

/** Calls that do not come back to whoever makes them: rt_sigreturn, exit, exit_group. Nobody is ready for their result. */
export const NEVER_RETURN: ReadonlySet<number> = new Set([15, 60, 231]);

/**
 * struct syscall_tp_t of sys_enter, and trace_event_raw_sys_enter with another name for it. The kernel keeps the first eight bytes
 * to itself. Linux kernel/trace/trace_syscalls.c, include/trace/events/syscalls.h
 */
export const SysEnter = struct('sys_enter', 64, {
  common: 'u64',
  id: 'i64',
  arg0: 'u64',
  arg1: 'u64',
  arg2: 'u64',
  arg3: 'u64',
  arg4: 'u64',
  arg5: 'u64',
});

/** The same of sys_exit. */
export const SysExit = struct('sys_exit', 24, { common: 'u64', id: 'i64', ret: 'i64' });

const REGISTERS = Object.fromEntries(Object.keys(PtRegs.offsetOf).map((field) => [field, 'u64' as const]));

/** struct bpf_raw_tracepoint_args of sys_enter and sys_exit, and behind it the registers that the first argument points to. */
const RawTracepoint = struct('bpf_raw_tracepoint_args', 16 + PtRegs.size, { regs: 'u64', second: 'i64', ...REGISTERS });

const register = (number: Reg): FieldSource => ({ in: 'register', register: number });
const constant = (value: bigint): FieldSource => ({ in: 'constant', value });

const { sp, bp } = ptRegsAtEntry(0n);
/** Of the caller: the context of a tracepoint has no registers. */
const FRAME = { ip: { in: 'register', register: PLACE_IN }, sp, bp } as const;

/** What rax holds while the call is being served. */
const ENOSYS = -38n;

/** Of a tracepoint's context. */
const ARGUMENTS = SYSCALL_ARGS.map((_, n) => `arg${n}`);
/** Of the caller's registers. */
const ARGUMENT_REGISTERS = ['di', 'si', 'dx', 'r10', 'r8', 'r9'];

/** At entry or exit of one call, or of every call. */
export const TRACEPOINT: SyscallKind = {
  type: 2,
  name: 'tracepoint',
  sections: ['tracepoint', 'tp'],
  context: SysEnter,
  helpers: [],
  accepts: ['syscalls', 'raw_syscalls'],
  model: (event, mayChange) => ({
    ...common(event, mayChange),
    frame: FRAME,
    ...(event.when === 'enter'
      ? {
          struct: SysEnter,
          fields: {
            common: constant(0n),
            id: numberOf(event),
            ...Object.fromEntries(SYSCALL_ARGS.map((argument, n) => [`arg${n}`, register(argument)])),
          },
          arguments: ARGUMENTS,
          ...writable(event, ARGUMENTS),
        }
      : {
          struct: SysExit,
          fields: { common: constant(0n), id: numberOf(event), ret: register(Reg.RAX) },
          result: { field: 'ret', is: 'returned' },
          writable: ['ret'],
        }),
  }),
};

/** At entry or exit of every call, with all registers. bpftime has no number for this and those that follow. */
export const RAW_TRACEPOINT: SyscallKind = {
  type: 1020,
  name: 'raw_tracepoint',
  sections: ['raw_tp', 'raw_tracepoint'],
  context: RawTracepoint,
  helpers: [],
  accepts: ['raw'],
  model: (event, mayChange) => ({
    ...common(event, mayChange),
    struct: RawTracepoint,
    fields: {
      regs: { in: 'addressOf', field: 'r15' },
      second: event.when === 'enter' ? numberOf(event) : register(Reg.RAX),
      ...registersAt(event),
    },
  }),
};

/** At the entry of one call: the caller's registers, with the arguments in them. */
export const KSYSCALL: SyscallKind = {
  type: 1021,
  name: 'ksyscall',
  sections: ['ksyscall'],
  context: PtRegs,
  helpers: [],
  accepts: ['name'],
  when: 'enter',
  model: (event, mayChange) => ({
    ...atFunction(event, mayChange),
    arguments: ARGUMENT_REGISTERS,
    ...writable(event, ARGUMENT_REGISTERS),
  }),
};

/** When one call returns: `ax` is its result. */
export const KRETSYSCALL: SyscallKind = {
  type: 1022,
  name: 'kretsyscall',
  sections: ['kretsyscall'],
  context: PtRegs,
  helpers: [],
  accepts: ['name'],
  when: 'exit',
  model: (event, mayChange) => ({
    ...atFunction(event, mayChange),
    result: { field: 'ax', is: 'returned' },
    writable: ['ax'],
  }),
};

export const SYSCALL_KINDS: readonly SyscallKind[] = [TRACEPOINT, RAW_TRACEPOINT, KSYSCALL, KRETSYSCALL];

function atFunction(event: SyscallEvent, mayChange: boolean): ContextModel {
  return { ...common(event, mayChange), struct: PtRegs, fields: registersAt(event) };
}

/** What a program at the entry may change. At the entry of every call those that keep theirs are told apart when they are made. */
function writable({ number }: SyscallEvent, fields: readonly string[]): Pick<ContextModel, 'writable' | 'whyReadOnly'> {
  const why = number === undefined ? undefined : FIXED_ARGUMENTS.get(number);
  return why === undefined ? { writable: fields } : { whyReadOnly: `its arguments cannot be changed: ${why}` };
}

/** One copy of a program serves all sites of a module: what differs between them is in registers. */
function common(
  { when, number }: SyscallEvent,
  mayChange: boolean,
): Pick<ContextModel, 'functionIp' | 'variant' | 'free' | 'bypass' | 'returnsIn'> {
  const mayAnswer = mayChange && when === 'enter' && number !== undefined && !NEVER_RETURN.has(number);
  return {
    functionIp: { in: 'constant', value: 0n },
    variant: `${when} ${number ?? 'all'}`,
    free: SYSCALL_FREE,
    ...(mayAnswer && { bypass: 'ifSet', returnsIn: Reg.RAX }),
  };
}

function numberOf({ when, number }: SyscallEvent): FieldSource {
  if (number !== undefined) return constant(BigInt(number));
  return { in: 'lowHalf', register: NUMBER_IN[when === 'enter' ? 'before' : 'behind'] };
}

/** What the kernel has of its caller: the address behind the call in rcx too, and constant flags in their places. */
function registersAt(event: SyscallEvent): Readonly<Record<keyof typeof PtRegs.offsetOf, FieldSource>> {
  return {
    ...ptRegsAtEntry(0n),
    ax: event.when === 'enter' ? constant(ENOSYS) : register(Reg.RAX),
    cx: register(PLACE_IN),
    r11: constant(CONSTANT_FLAGS),
    flags: constant(CONSTANT_FLAGS),
    origAx: numberOf(event),
    ip: register(PLACE_IN),
  };
}
