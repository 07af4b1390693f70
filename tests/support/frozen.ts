/** Freezes a process in a control group of its own, where this machine lets us make one. Source: cgroups(7). */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitUntil } from './targets.ts';

const KINDS = {
  cgroup2: { file: 'cgroup.freeze', freeze: '1', thaw: '0', state: 'cgroup.events', isFrozen: /^frozen 1$/m },
  freezer: { file: 'freezer.state', freeze: 'FROZEN', thaw: 'THAWED', state: 'freezer.state', isFrozen: /^FROZEN$/m },
} as const;

type FreezerKind = keyof typeof KINDS;

export interface Freezer {
  readonly kind: FreezerKind;
  /** Where its hierarchy is mounted. */
  readonly folder: string;
}

/** What this machine has mounted. */
export function freezers(): Freezer[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.flatMap((line): Freezer[] => {
    const folder = line.split(' ')[4] ?? '';
    if (/ - cgroup2 /.test(line)) return [{ kind: 'cgroup2', folder }];
    return / - cgroup .*\bfreezer\b/.test(line) ? [{ kind: 'freezer', folder }] : [];
  });
}

/** Freezes a process until the result is disposed of. @throws what the file system says, where it may not be done */
export function freeze(pid: number, { kind, folder }: Freezer): Disposable {
  const { file, freeze: frozen, thaw, state, isFrozen } = KINDS[kind];
  const group = join(folder, `remora-test-${pid}`);
  mkdirSync(group);
  const release = (): void => {
    writeFileSync(join(group, file), thaw);
    writeFileSync(join(folder, 'cgroup.procs'), String(pid));
    rmdirSync(group);
  };
  try {
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
    writeFileSync(join(group, file), frozen);
    waitUntil('it is frozen', () => isFrozen.test(readFileSync(join(group, state), 'latin1')));
  } catch (error) {
    release();
    throw error;
  }
  return { [Symbol.dispose]: release };
}
