/** Which module of a process a name means. */
import { readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { readStatus } from '../sys/proc.ts';
import { deviceName } from '../sys/proc-maps.ts';
import { ProcessError } from './errors.ts';
import type { Module } from './module.ts';
import { didYouMean, suggest } from './suggest.ts';

/** The kernel keeps no more of a program's name. */
const COMM_LENGTH = 15;

/** Ways to understand a name, the most exact first. The first that fits any module decides. */
const READINGS: readonly ((name: string, modules: readonly Module[], procId: number) => Module | undefined)[] = [
  (name, modules) => modules.find((m) => m.path === name),
  sameFile,
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
function sameFile(name: string, modules: readonly Module[], procId: number): Module | undefined {
  if (!name.startsWith('/')) return undefined;
  const stats = statSync(`/proc/${procId}/root${name}`, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const device = deviceName(stats.dev);
  return modules.find(({ mappings }) => mappings[0]!.inode === stats.ino && mappings[0]!.device === device);
}

/** What the process calls itself: a program started through a symbolic link goes by the link's name. */
function ownName(name: string, modules: readonly Module[], procId: number): Module | undefined {
  if (readStatus(procId).name !== name.slice(0, COMM_LENGTH)) return undefined;
  return sameFile(readlinkSync(`/proc/${procId}/exe`), modules, procId);
}

/** 'libc.so.6', 'libc-2.31.so', 'libc.so' and 'libc' all become 'libc'. */
function withoutVersion(name: string): string {
  return name.replace(/(?:-[\d.]+)?\.so(?:\.[\d.]+)?$/, '');
}

function sonameOf(module: Module): string | undefined {
  try {
    return module.soname;
  } catch {
    return undefined; // a file that cannot be read has no other names
  }
}
