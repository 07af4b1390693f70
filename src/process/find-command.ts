/** Which file a command means, as a shell looks for it. Source: POSIX, "Command Search and Execution"; execve(2). */
import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { isSysError } from '../sys/errors.ts';
import { asSysError, Capability, readStatus } from '../sys/proc.ts';
import { ProcessError } from './errors.ts';

const S_ISUID = 0o4000;
const S_ISGID = 0o2000;

/**
 * @param command a path, or a name that is looked for
 * @param searchPath folders with colons between them; an empty one is the current
 * @throws {ProcessError} PROCESS_NOT_STARTED, PROCESS_PERMISSION
 */
export function findCommand(command: string, searchPath: string): string {
  const isPath = command.includes('/');
  const paths = isPath ? [command] : searchPath.split(':').map((folder) => join(folder || '.', command));
  let refusal: ProcessError | undefined;
  for (const path of command === '' ? [] : paths) {
    const found = lookAt(path);
    if (typeof found === 'string')
      refusal ??= new ProcessError('PROCESS_NOT_STARTED', `cannot start ${path}: ${found}`);
    if (found === undefined || typeof found === 'string') continue;
    refuseLossOfPrivileges(path, found);
    return path;
  }
  if (refusal !== undefined) throw refusal;
  throw new ProcessError(
    'PROCESS_NOT_STARTED',
    isPath ? `cannot start ${command}: there is no such file` : `cannot start '${command}': it is not in PATH`,
  );
}

/** A file that may be executed, why it may not, undefined if there is none. */
function lookAt(path: string): Stats | string | undefined {
  try {
    return asSysError(`stat(${path})`, () => {
      const stats = statSync(path);
      if (!stats.isFile()) return 'it is not a file, wanted a program';
      accessSync(path, constants.X_OK);
      return stats;
    });
  } catch (error) {
    return isSysError(error, 'SYS_EACCES') ? 'it may not be executed' : undefined;
  }
}

/** The kernel gives a traced program no privileges that its tracer lacks: it would run, but not as without us. */
function refuseLossOfPrivileges(path: string, { mode, uid, gid }: Stats): void {
  const own = readStatus(process.pid);
  const gains = ((mode & S_ISUID) !== 0 && uid !== own.uids[1]) || ((mode & S_ISGID) !== 0 && gid !== own.gids[1]);
  if (!gains || (own.effectiveCapabilities & Capability.SYS_PTRACE) !== 0n) return;
  throw new ProcessError('PROCESS_PERMISSION', `cannot start ${path}: it changes its user or group when it starts`, {
    why: 'started by a tracer without CAP_SYS_PTRACE it would run without those rights',
    fix: 'run remora as root',
  });
}
