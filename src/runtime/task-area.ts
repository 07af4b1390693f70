/**
 * Plans the images of task_struct (helpers/faked-task.ts) by the kernel's types, and fills what all threads of a process share. A field
 * that the types do not have is left out; all others are zero. Source: Linux include/linux/sched.h, nsproxy.h, cgroup-defs.h.
 */
import { alignUp } from '../bytes/align.ts';
import { viewOf } from '../bytes/struct.ts';
import type { FakedTasks, TaskStore, TaskValue } from '../helpers/faked-task.ts';
import { SLOTS } from '../maps/slots.ts';
import { type KernelStructure, kernelStructure } from '../object/core-types.ts';
import type { KernelFacts } from '../object/kernel-facts.ts';
import { readStartTime } from '../sys/proc.ts';
import { type NamespaceKind, readCgroupId, readNamespace } from '../sys/process-view.ts';

/** Namespaces: the field of nsproxy, what it points to, and what /proc calls it. */
const NAMESPACE_ROWS: readonly (readonly [field: string, structure: string, kind: NamespaceKind])[] = [
  ['uts_ns', 'uts_namespace', 'uts'],
  ['ipc_ns', 'ipc_namespace', 'ipc'],
  ['mnt_ns', 'mnt_namespace', 'mnt'],
  ['pid_ns_for_children', 'pid_namespace', 'pid'],
  ['net_ns', 'net', 'net'],
  ['cgroup_ns', 'cgroup_namespace', 'cgroup'],
];

/** No structure of these is larger; a kernel that says so is not believed. */
const MAX_SIZE = 32 * 1024;
const LINE = 64;
/** struct pid ends in an array of these, which its size does not count. */
const UPID_SIZE = 64;
/** Of the ticks that /proc counts in. */
const NS_PER_TICK = 10_000_000n;

/** Where the structures lie, as offsets in the area. */
export class TaskArea {
  /** Bytes that it takes. */
  readonly size: number;
  readonly #firstImage: number;
  readonly #stride: number;
  readonly #task: KernelStructure;
  readonly #pid: KernelStructure;
  /** Of the process: name of the structure -> what it is and where it lies. */
  readonly #shared = new Map<string, { readonly structure: KernelStructure; readonly at: number }>();

  /** @throws {BtfError} if the kernel's types are malformed */
  constructor(kernel: KernelFacts) {
    const structureOf = (name: string, tail = 0): KernelStructure => {
      const { size: known, offsetOf } = kernelStructure(kernel, name);
      const size = Math.min(known, MAX_SIZE) + tail;
      return { size, offsetOf: (...path) => within(offsetOf(...path), size) };
    };
    let end = 0;
    for (const name of ['nsproxy', ...NAMESPACE_ROWS.map(([, name]) => name), 'css_set', 'cgroup', 'kernfs_node']) {
      const structure = structureOf(name);
      this.#shared.set(name, { structure, at: end });
      end += alignUp(structure.size, LINE);
    }
    this.#task = structureOf('task_struct');
    this.#pid = structureOf('pid', UPID_SIZE);
    this.#stride = 2 ** Math.ceil(Math.log2(this.#parentAt + this.#taskRoom + alignUp(this.#pid.size, LINE)));
    this.#firstImage = alignUp(end, this.#stride);
    this.size = this.#firstImage + SLOTS * this.#stride;
  }

  get #taskRoom(): number {
    return alignUp(this.#task.size, LINE);
  }
  get #leaderAt(): number {
    return this.#taskRoom;
  }
  get #parentAt(): number {
    return 2 * this.#taskRoom;
  }
  get #pidAt(): number {
    return 3 * this.#taskRoom;
  }

  /** Writes what belongs to the process, and says how images are written. @param address of the area in the target */
  fill(memory: Uint8Array, address: bigint, pid: number): FakedTasks {
    const view = viewOf(memory);
    const put = (structure: string, path: readonly string[], value: bigint, size: 4 | 8 = 8): void => {
      const { structure: found, at } = this.#shared.get(structure)!;
      const offset = found.offsetOf(...path);
      if (offset === undefined) return;
      if (size === 8) view.setBigUint64(at + offset, value, true);
      else view.setUint32(at + offset, Number(BigInt.asUintN(32, value)), true);
    };
    const addressOf = (structure: string): bigint => address + BigInt(this.#shared.get(structure)!.at);
    for (const [field, structure, kind] of NAMESPACE_ROWS) {
      put('nsproxy', [field], addressOf(structure));
      put(structure, ['ns', 'inum'], readNamespace(pid, kind)?.inode ?? 0n, 4);
    }
    put('css_set', ['dfl_cgrp'], addressOf('cgroup'));
    put('cgroup', ['kn'], addressOf('kernfs_node'));
    put('kernfs_node', ['id'], readCgroupId(pid));
    const ids = ['pid', 'tgid'].map((field) => this.#task.offsetOf(field)).filter((offset) => offset !== undefined);
    return {
      address,
      size: this.size,
      firstImage: this.#firstImage,
      stride: this.#stride,
      stores: this.#stores(readStartTime(pid) * NS_PER_TICK, addressOf),
      comm: this.#task.offsetOf('comm'),
      parent: {
        from: this.#parentAt,
        to: this.#pidAt,
        ids: ids.map((offset) => this.#parentAt + offset),
      },
    };
  }

  #stores(startTime: bigint, addressOf: (structure: string) => bigint): TaskStore[] {
    const constant = (value: bigint): TaskValue => ({ is: 'constant', value });
    const place = (at: number): TaskValue => ({ is: 'place', at });
    const common: readonly (readonly [field: string, value: TaskValue, size?: 4])[] = [
      ['tgid', { is: 'process id' }, 4],
      ['real_parent', place(this.#parentAt)],
      ['parent', place(this.#parentAt)],
      ['nsproxy', constant(addressOf('nsproxy'))],
      ['cgroups', constant(addressOf('css_set'))],
      ['start_time', constant(startTime)],
      ['start_boottime', constant(startTime)],
    ];
    const thread: typeof common = [
      ...common,
      ['pid', { is: 'thread id' }, 4],
      ['group_leader', { is: 'leader', at: this.#leaderAt }],
      ['thread_pid', place(this.#pidAt)],
    ];
    const leader: typeof common = [
      ...common,
      ['pid', { is: 'process id' }, 4],
      ['group_leader', place(this.#leaderAt)],
    ];
    const stores: TaskStore[] = [];
    const add = (base: number, structure: KernelStructure, path: readonly string[], value: TaskValue, size: 4 | 8) => {
      const offset = structure.offsetOf(...path);
      if (offset !== undefined) stores.push({ at: base + offset, size, value });
    };
    for (const [field, value, size] of thread) add(0, this.#task, [field], value, size ?? 8);
    for (const [field, value, size] of leader) add(this.#leaderAt, this.#task, [field], value, size ?? 8);
    add(this.#pidAt, this.#pid, ['numbers', 'nr'], { is: 'thread id' }, 4);
    add(this.#pidAt, this.#pid, ['numbers', 'ns'], constant(addressOf('pid_namespace')), 8);
    return stores;
  }
}

/** The largest field there is, a name. */
const FIELD_SIZE = 16;

function within(offset: number | undefined, size: number): number | undefined {
  return offset !== undefined && offset + FIELD_SIZE <= alignUp(size, LINE) ? offset : undefined;
}
