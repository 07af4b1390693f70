/**
 * A task_struct for programs that look into the one of the kernel: an image of it in shared memory, laid out as the kernel's types say,
 * with the fields that tools read. Each run of a program has one to itself, that of its slot:
 *
 *     | structures of the process: namespaces, control group | image of slot 0 | image of slot 1 | ... |
 *     image:  | the thread | the first thread of its process | its parent | struct pid |
 *
 * Programs read it as they read any memory. Names and parents change without notice: they are asked for when they are read.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper } from './helper.ts';
import { PR_GET_NAME, Syscall, TASK_COMM_LEN } from './linux.ts';
import { result } from './result.ts';
import { copyRun, zeroRun } from './runs.ts';
import { emitProcessId, emitThreadId } from './task.ts';

/** Where the images of a session lie, and what is written into one before a program gets it. */
export interface FakedTasks {
  /** Of the area, in the target. */
  readonly address: bigint;
  readonly size: number;
  /** Offset of the first image: a multiple of `stride`, counted from `address`. */
  readonly firstImage: number;
  /** Bytes of an image: a power of two. */
  readonly stride: number;
  readonly stores: readonly TaskStore[];
  /** Offset of the thread's name in an image; undefined if the kernel's types have none. */
  readonly comm: number | undefined;
  /** Where in an image the parent lies, and offsets of its ids. */
  readonly parent: { readonly from: number; readonly to: number; readonly ids: readonly number[] };
}

/** One field of an image. */
export interface TaskStore {
  /** Offset in the image. */
  readonly at: number;
  readonly size: 4 | 8;
  readonly value: TaskValue;
}

export type TaskValue =
  | { readonly is: 'thread id' | 'process id' }
  /** The address of a place in the same image. */
  | { readonly is: 'place'; readonly at: number }
  /** The address of the image if this is the first thread of the process, else of that place in it. */
  | { readonly is: 'leader'; readonly at: number }
  | { readonly is: 'constant'; readonly value: bigint };

const currentTaskRow: Pick<Helper, 'args' | 'requires' | 'needsSlot' | 'run' | 'emit'> = {
  args: [],
  requires: ['syscall'],
  needsSlot: true,
  run: () => result(-Errno.EOPNOTSUPP),
  emit(b, _args, context) {
    const { tasks } = context.facts;
    if (tasks === undefined) return b.const(0);
    const write = context.shared('current_task', 1, (body, [image]) => writeImage(body, image!, tasks, context));
    const image = b.add(b.mul(context.slot(b), tasks.stride), tasks.address + BigInt(tasks.firstImage));
    return b.call(write, [image]);
  },
};

/** u64 bpf_get_current_task(void) */
export const getCurrentTask: Helper = { id: 35, name: 'bpf_get_current_task', returns: 'scalar', ...currentTaskRow };

/** struct task_struct *bpf_get_current_task_btf(void) */
export const getCurrentTaskBtf: Helper = {
  id: 158,
  name: 'bpf_get_current_task_btf',
  returns: 'task',
  ...currentTaskRow,
};

/** Whether the helper of that number gives a task_struct. */
export function isTaskHelper(id: number): boolean {
  return id === getCurrentTask.id || id === getCurrentTaskBtf.id;
}

/** (image) -> image */
function writeImage(b: Builder, image: Value, { stores }: FakedTasks, context: EmitContext): void {
  const thread = emitThreadId(b, context);
  const process = emitProcessId(b, context);
  for (const { at, size, value } of stores) b.store(size, image, at, emitValue(value));
  b.return(image);

  function emitValue(value: TaskValue): Value {
    switch (value.is) {
      case 'thread id':
        return thread;
      case 'process id':
        return process;
      case 'place':
        return b.add(image, value.at);
      case 'leader':
        return b.select(b.compare('eq', thread, process), image, b.add(image, value.at));
      case 'constant':
        return b.const(value.value);
    }
  }
}

/**
 * (to, size, offset in the area) -> 0, or -EFAULT and `to` is zeros: reads of the area. What lies there is always mapped.
 */
export function readFaked(tasks: FakedTasks, context: EmitContext): IrFunction {
  const { address, size: areaSize, firstImage, stride, comm, parent } = tasks;
  return context.shared('probe_read_task', 3, (b, [to, size, offset]) => {
    b.when(
      b.compare('ugt', size!, b.sub(b.const(areaSize), offset!)),
      () => {
        zeroRun(b, to!, size!);
        b.return(-Errno.EFAULT);
      },
      'cold',
    );
    b.when(b.compare('uge', offset!, firstImage), () => {
      const within = b.and(offset!, stride - 1);
      const image = b.add(b.sub(offset!, within), address);
      const overlaps = (from: number, to: number): Value =>
        b.and(b.compare('ult', within, to), b.compare('ugt', b.add(within, size!), from));
      if (comm !== undefined) {
        b.when(overlaps(comm, comm + TASK_COMM_LEN), () => {
          b.syscall(Syscall.prctl, [PR_GET_NAME, b.add(image, comm)]);
        });
      }
      b.when(overlaps(parent.from, parent.to), () => {
        const id = b.syscall(Syscall.getppid, []);
        for (const at of parent.ids) b.store(4, image, at, id);
      });
    });
    copyRun(b, to!, b.add(offset!, address), size!);
    b.return(0);
  });
}
