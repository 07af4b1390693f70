/**
 * Whether a process's control group is frozen: of its states in /proc nothing tells. Source: cgroups(7); cgroup.events in
 * Documentation/admin-guide/cgroup-v2.rst; freezer.state in Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the state stands, and what it says of a group that is frozen. */
const STATES = [
  { file: 'cgroup.events', says: (text: string) => /^frozen 1$/m.test(text) },
  { file: 'freezer.state', says: (text: string) => text.startsWith('FR') }, // FROZEN, or on the way: FREEZING
] as const;

/** True if it is known that no thread of the process executes anything until its group is thawed. */
export function isFrozen(pid: number): boolean {
  const groups = groupsOf(read(`/proc/${pid}/cgroup`));
  if (groups.length === 0) return false;
  const hierarchies = hierarchiesOf(read('/proc/self/mountinfo'));
  return groups.some(({ controllers, path }) => {
    const mount = hierarchies.find((hierarchy) => hierarchy.controllers === controllers);
    return mount !== undefined && STATES.some(({ file, says }) => says(read(join(mount.path, path, file))));
  });
}

/** A group: the hierarchy without controllers is the unified one, the other that is of interest is the freezer's. */
interface Place {
  readonly controllers: string;
  readonly path: string;
}

/** The groups of a process: lines of `id:controllers:path`. */
function groupsOf(text: string): Place[] {
  return [...text.matchAll(/^\d+:(|freezer):(\/.*)$/gm)].map(([, controllers, path]) => ({
    controllers: controllers!,
    path: path!,
  }));
}

/** Where the hierarchies are mounted: field 5 of a line is the folder; behind the dash stand type, source and options. */
function hierarchiesOf(text: string): Place[] {
  return text.split('\n').flatMap((line) => {
    const [fields = '', rest = ''] = line.split(' - ');
    const path = fields.split(' ')[4];
    const [type, , options = ''] = rest.split(' ');
    if (path === undefined) return [];
    if (type === 'cgroup2') return [{ controllers: '', path }];
    return type === 'cgroup' && options.split(',').includes('freezer') ? [{ controllers: 'freezer', path }] : [];
  });
}

/** '' where there is nothing to be read. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
