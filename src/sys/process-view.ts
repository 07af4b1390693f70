/** What /proc tells of a process that it is not told itself. Source: proc(5), namespaces(7), cgroups(7). */
import { statSync } from 'node:fs';
import { readProcText } from './proc.ts';

/** Where the hierarchy of control groups (version 2) is mounted, alone or beside those of version 1. */
const CGROUP_ROOTS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];
/** What only that version has there. */
const CGROUP_MARK = 'cgroup.controllers';

/** Kinds of namespaces, as /proc/PID/ns names them. */
export const NAMESPACES = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'] as const;
export type NamespaceKind = (typeof NAMESPACES)[number];

/** A namespace, as stat(2) tells them apart. */
export interface Namespace {
  readonly device: bigint;
  readonly inode: bigint;
}

/** The namespace of that kind; undefined if it cannot be read. */
export function readNamespace(pid: number, kind: NamespaceKind): Namespace | undefined {
  return statOf(`/proc/${pid}/ns/${kind}`);
}

/** The number of the control group (version 2): 0 if it cannot be found from here. */
export function readCgroupId(pid: number): bigint {
  const path = cgroupPath(pid);
  if (path === undefined) return 0n;
  for (const root of CGROUP_ROOTS) {
    const group = statOf(`${root}/${CGROUP_MARK}`) && statOf(`${root}${path}`);
    if (group !== undefined) return group.inode;
  }
  return 0n;
}

function cgroupPath(pid: number): string | undefined {
  try {
    return /^0::(\/.*)$/m.exec(readProcText(`/proc/${pid}/cgroup`))?.[1];
  } catch {
    return undefined;
  }
}

function statOf(path: string): Namespace | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return { device: dev, inode: ino };
  } catch {
    return undefined;
  }
}
