/** Which module of a process a name means. */
import { type BigIntStats, closeSync, fstatSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { O_PATH, openInRoot } from '../sys/open-in-root.ts';
import { readStatus } from '../sys/proc.ts';
import { deviceName } from '../sys/proc-maps.ts';
import { ProcessError } from './errors.ts';
import type { Module } from './module.ts';
import { didYouMean, suggest } from './suggest.ts';

/** The kernel keeps no more of a program's name. */
const COMM_LENGTH = 15;
const OWN_PATH = '/proc/self/exe';

/** Ways to understand a name, the most exact first. The first that fits any module decides. */
const READINGS: readonly ((name: string, modules: readonly Module[], procId: number) => Module | undefined)[] = [
  (name, modules) => modules.find((m) => m.path === name),
  fileOfTarget,
  fileOfOurs,
  (name, modules) => modules.find((m) => m.name === name),
  ownName,
  (name, modules) => modules.find((m) => sonameOf(m) === name),
  (name, modules) => modules.find((m) => withoutVersion(m.name) === withoutVersion(name)),
  (name, modules) => modules.find((m) => withoutVersion(sonameOf(m) ?? '') === withoutVersion(name)),
];

/**
 * @param name a path, a soname with or without version ('libc.so.6', 'libc.so', 'libc'), a file's name, or the process's own
 * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND
 */
export function findModule(name: string, modules: readonly Module[], procId: number): Module {
  for (const reading of READINGS) {
    const module = reading(name, modules, procId);
    if (module !== undefined) return module;
  }
  const meant = didYouMean(
    suggest(
      basename(name),
      modules.map((m) => m.name),
    ),
  );
  throw new ProcessError('PROCESS_MODULE_NOT_FOUND', `cannot find '${name}': the process maps no such file`, {
    fix: meant ?? `it maps ${modules.map((m) => m.name).join(', ')}`,
  });
}

/** A path with symbolic links in it, as the target sees it. */
function fileOfTarget(name: string, modules: readonly Module[], procId: number): Module | undefined {
  return fileOf(name, modules, () => {
    const fd = openInRoot(procId, name, O_PATH);
    try {
      return fstatSync(fd, { bigint: true });
    } finally {
      closeSync(fd);
    }
  });
}

/** A path as we see it: that of a file in a container's root, say. */
function fileOfOurs(name: string, modules: readonly Module[]): Module | undefined {
  return fileOf(name, modules, () => statSync(name, { bigint: true }));
}

/**
 * What the process calls itself: a program started through a symbolic link goes by the link's name. `/proc/self/exe` in a section is
 * whoever is probed, not us.
 */
function ownName(name: string, modules: readonly Module[], procId: number): Module | undefined {
  if (name !== OWN_PATH && readStatus(procId).name !== name.slice(0, COMM_LENGTH)) return undefined;
  return sameFile(modules, () => statSync(`/proc/${procId}/exe`, { bigint: true }));
}

function fileOf(name: string, modules: readonly Module[], look: () => BigIntStats): Module | undefined {
  return name.startsWith('/') && name !== OWN_PATH ? sameFile(modules, look) : undefined;
}

/** The module that was mapped from the file that `look` finds, if it finds one. */
function sameFile(modules: readonly Module[], look: () => BigIntStats): Module | undefined {
  let stats: BigIntStats;
  try {
    stats = look();
  } catch {
    return undefined;
  }
  const device = deviceName(stats.dev);
  return modules.find(({ mappings }) => mappings[0]!.inode === stats.ino && mappings[0]!.device === device);
}

/** 'libc.so.6', 'libc-2.31.so', 'libc.so' and 'libc' all become 'libc'. */
export function withoutVersion(name: string): string {
  return name.replace(/(?:-[\d.]+)?\.so(?:\.[\d.]+)?$/, '');
}

function sonameOf(module: Module): string | undefined {
  try {
    return module.soname;
  } catch {
    return undefined; // a file that cannot be read has no other names
  }
}
