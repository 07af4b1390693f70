/** `remora detach`: takes off what is attached, also when whoever attached it is dead, or another shell. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { BpfError } from '../errors.ts';
import type { ListedSession } from '../index.ts';
import { forEachProcess } from './each-process.ts';
import { CliError } from './errors.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { count } from './text.ts';

interface DetachOptions {
  readonly pid?: readonly number[];
  readonly all?: true;
  readonly json?: true;
  readonly o?: string;
  readonly quiet?: true;
  readonly color: boolean;
}

/** A living controller takes its memory out of the target as soon as it notices; it gets this long, in milliseconds. */
const CONTROLLER_LEAVES_MS = 2000;
const LOOK_MS = 20;

export function detachCommand(): Command {
  return new Command('detach')
    .description('Take off what is attached, whoever attached it: a session by its id as `remora ps` shows it, or all.')
    .argument('[ID]', 'the session')
    .addOption(shared.pid())
    .option('--all', 'every session of the processes named by -p')
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.quiet())
    .addOption(shared.noColor())
    .action(detach);
}

async function detach(id: string | undefined, options: DetachOptions): Promise<void> {
  if ((id === undefined) === (options.all === undefined)) {
    throw new CliError('CLI_BAD_USAGE', 'cannot detach: give the id of a session, or --all with -p PID');
  }
  if (options.all && options.pid === undefined) {
    throw new CliError('CLI_BAD_USAGE', 'cannot detach all: -p PID must say from which process');
  }
  const { processesWithSessions } = await import('../index.ts');
  const output = Output.to(options.o);
  const note = (line: string): void => {
    if (!options.quiet) process.stderr.write(`${line}\n`);
  };
  let removed = 0;
  const remove = async (pid: number): Promise<void> => {
    try {
      const isMeant = (session: { readonly id: string }): boolean => id === undefined || session.id === id;
      removed += await removeSessions(pid, isMeant, { ...options, output, note });
      if (options.all) await requireUnderstood(pid);
    } catch (error) {
      // One that was found may be somebody else's, or have ended.
      if (options.pid !== undefined || !(error instanceof BpfError)) throw error;
    }
  };
  await forEachProcess(options.pid ?? processesWithSessions(), remove, { ...options, output });
  if (id !== undefined && removed === 0) {
    throw new CliError('CLI_NO_SESSION', `cannot detach ${id}: no process has such a session`, {
      fix: '`remora ps` lists what is attached',
    });
  }
  if (removed === 0) note('nothing was attached');
}

/** What is not understood is not touched: whoever asked for all is to know that it is still there. @throws {InjectError} */
async function requireUnderstood(pid: number): Promise<void> {
  const { ProcessSessions } = await import('../index.ts');
  let problem: BpfError | undefined;
  try {
    using found = new ProcessSessions(pid);
    problem = found.problems[0];
  } catch (error) {
    // It has ended meanwhile.
    if (!(error instanceof BpfError)) throw error;
  }
  if (problem !== undefined) throw problem;
}

/** Where the outcome goes. */
export interface RemovalReport {
  readonly output: Output;
  readonly note: (line: string) => void;
  readonly json?: true;
}

/** Takes sessions of a process off, and tells what became of them. Gives their number. @throws as `detachSessions` */
export async function removeSessions(
  pid: number,
  isMeant: (session: Pick<ListedSession, 'id' | 'state'>) => boolean,
  { output, note, json }: RemovalReport,
): Promise<number> {
  const { detachSessions } = await import('../index.ts');
  const removed = detachSessions(pid, isMeant);
  for (const [id, { restored, foreign, memory }] of removed) {
    const isReleased = memory === 'released' || (memory === 'its controller’s' && (await isSoonGone(pid, id)));
    if (json) {
      const data = { pid, session: id, sites: restored, restored: foreign.length === 0, released: isReleased };
      output.line(JSON.stringify({ type: 'detached', data }));
      continue;
    }
    note(`detached session ${id} from ${pid}: ${count(restored, 'site')} put back`);
    for (const address of foreign) {
      note(
        `note: 0x${address.toString(16)} is not as this session left it: another tool has patched it, and it was left`,
      );
    }
    if (!isReleased) {
      note('note: its memory is still there: `remora ps --clean` takes it out once no thread needs it');
    }
  }
  return removed.size;
}

async function isSoonGone(pid: number, id: string): Promise<boolean> {
  const { ProcessSessions } = await import('../index.ts');
  for (let waited = 0; waited < CONTROLLER_LEAVES_MS; waited += LOOK_MS) {
    try {
      using found = new ProcessSessions(pid);
      if (!found.sessions.some((session) => session.id === id)) return true;
    } catch (error) {
      if (error instanceof BpfError) return true;
      throw error;
    }
    await sleep(LOOK_MS);
  }
  return false;
}
