/**
 * Structures of the kernel as programs find them here. Contexts are these always, since it is we who lay them out; the others serve where
 * the kernel's own types cannot be read. Source: Linux include/linux/trace_events.h, include/trace/events/syscalls.h,
 * arch/x86/include/asm/ptrace.h, include/linux/sched.h (its fields, in an order of our own).
 */
import type { Btf } from '../btf/btf.ts';
import { declareTypes } from '../btf/declare.ts';

const WORD = 'u64';

const CONTEXTS = {
  trace_entry: { type: 'u16', flags: 'u8', preempt_count: 'u8', pid: 's32' },
  trace_event_raw_sys_enter: { ent: 'trace_entry', id: 's64', args: 'u64[6]', __data: 'char[0]' },
  trace_event_raw_sys_exit: { ent: 'trace_entry', id: 's64', ret: 's64', __data: 'char[0]' },
  syscall_trace_enter: { ent: 'trace_entry', nr: 's32', args: 'u64[0]' },
  syscall_trace_exit: { ent: 'trace_entry', nr: 's32', ret: 's64' },
  bpf_raw_tracepoint_args: { args: 'u64[0]' },
  pt_regs: {
    ...{ r15: WORD, r14: WORD, r13: WORD, r12: WORD, bp: WORD, bx: WORD, r11: WORD, r10: WORD, r9: WORD, r8: WORD },
    ...{ ax: WORD, cx: WORD, dx: WORD, si: WORD, di: WORD, orig_ax: WORD, ip: WORD, cs: WORD, flags: WORD },
    ...{ sp: WORD, ss: WORD },
  },
} as const;

const TASK = {
  ns_common: { inum: 'u32' },
  pid_namespace: { level: 'u32', ns: 'ns_common' },
  mnt_namespace: { ns: 'ns_common' },
  uts_namespace: { ns: 'ns_common' },
  ipc_namespace: { ns: 'ns_common' },
  net: { ns: 'ns_common' },
  cgroup_namespace: { ns: 'ns_common' },
  nsproxy: {
    uts_ns: 'uts_namespace *',
    ipc_ns: 'ipc_namespace *',
    mnt_ns: 'mnt_namespace *',
    pid_ns_for_children: 'pid_namespace *',
    net_ns: 'net *',
    cgroup_ns: 'cgroup_namespace *',
  },
  upid: { nr: 's32', ns: 'pid_namespace *' },
  pid: { level: 'u32', numbers: 'upid[1]' },
  kernfs_node: { id: 'u64' },
  cgroup: { kn: 'kernfs_node *' },
  css_set: { dfl_cgrp: 'cgroup *' },
  task_struct: {
    pid: 's32',
    tgid: 's32',
    real_parent: 'task_struct *',
    parent: 'task_struct *',
    group_leader: 'task_struct *',
    thread_pid: 'pid *',
    start_time: 'u64',
    start_boottime: 'u64',
    comm: 'char[16]',
    nsproxy: 'nsproxy *',
    cgroups: 'css_set *',
  },
} as const;

/** Contexts alone: how programs find what they are given. */
export const CONTEXT_STRUCTURES: ReadonlySet<string> = new Set(Object.keys(CONTEXTS));

let declared: Btf | undefined;

/** The BTF of all of them. */
export function kernelStructures(): Btf {
  declared ??= declareTypes({ ...CONTEXTS, ...TASK });
  return declared;
}
