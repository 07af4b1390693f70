/** `remora ps`: what is attached, in one process or in all, whoever attached it. */
import { Command } from 'commander';
import { BpfError } from '../errors.ts';
import type { FoundLink, ListedSession } from '../index.ts';
import { removeSessions } from './detach.ts';
import { forEachProcess } from './each-process.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { type Column, printable, table } from './text.ts';

interface PsOptions {
  readonly pid?: readonly number[];
  readonly clean?: true;
  readonly json?: true;
  readonly o?: string;
  readonly quiet?: true;
  readonly color: boolean;
}

export function psCommand(): Command {
  return new Command('ps')
    .description('List what is attached, whoever attached it; --clean takes off what dead controllers left.')
    .addOption(shared.pid())
    .option('--clean', 'take off sessions whose controller has died, but not pinned ones')
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.quiet())
    .addOption(shared.noColor())
    .action(ps);
}

async function ps(options: PsOptions): Promise<void> {
  const { ATTACH_KIND_NAMES, ProcessSessions, processesWithSessions } = await import('../index.ts');
  const output = Output.to(options.o);
  const note = (line: string): void => {
    if (!options.quiet) process.stderr.write(`${line}\n`);
  };
  const kindOf = ({ attachType }: FoundLink): string => ATTACH_KIND_NAMES.get(attachType) ?? `kind ${attachType}`;
  const pids = options.pid ?? processesWithSessions();
  if (options.clean) {
    const isLeft = ({ state }: Pick<ListedSession, 'state'>): boolean => state === 'quiet' || state === 'closed';
    let removed = 0;
    const clean = async (pid: number): Promise<void> => {
      removed += await removeSessions(pid, isLeft, { ...options, output, note });
    };
    await forEachProcess(pids, clean, { ...options, output });
    if (removed === 0) note('nothing was left by dead controllers');
    return;
  }
  const rows: string[][] = [];
  const held = new Set<number>();
  // What cannot be read may be attached all the same.
  let isSure = pids.length === 0;
  const look = (pid: number): void => {
    // A process named on the command line must be there; one that was found may end meanwhile, or be another user's.
    using found = options.pid === undefined ? readable(() => new ProcessSessions(pid)) : new ProcessSessions(pid);
    isSure ||= found?.problems.length === 0;
    for (const { message } of found?.problems ?? []) note(`note: process ${pid}: ${printable(message)}`);
    for (const listed of found?.sessions ?? []) {
      if (options.json) output.line(JSON.stringify({ type: 'session', data: asJson(listed, kindOf) }));
      else rows.push(...rowsOf(listed, kindOf));
      if (listed.state === 'closed') held.add(pid);
    }
  };
  // The table is one for all.
  const tell = (): void => {
    if (!options.json) {
      if (rows.length > 0) for (const line of table(COLUMNS, rows)) output.line(line);
      else if (isSure) note(`nothing is attached${options.pid === undefined ? whereSeen() : ''}`);
    }
    for (const pid of held) {
      note(
        `note: process ${pid}: a thread may still return into pages of a session that is off: \`remora ps --clean\` releases them once it has`,
      );
    }
  };
  await forEachProcess(pids, look, { ...options, output, tell });
}

/** Other users' processes cannot be looked into, nor counted. */
function whereSeen(): string {
  return process.geteuid?.() === 0 ? '' : ' to processes that you may look into: sudo shows those of other users too';
}

function readable<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

const COLUMNS: readonly Column[] = [
  { title: 'session', align: 'left' },
  { title: 'pid', align: 'right' },
  { title: 'command', align: 'left' },
  { title: 'state', align: 'left' },
  { title: 'by', align: 'right' },
  { title: 'program', align: 'left' },
  { title: 'kind', align: 'left' },
  { title: 'target', align: 'left' },
  { title: 'hits', align: 'right' },
  { title: 'missed', align: 'right' },
];

type KindOf = (link: FoundLink) => string;

function rowsOf(listed: ListedSession, kindOf: KindOf): string[][] {
  const { id, pid, command, state, controllerPid, mappedBytes, session } = listed;
  const head = [id, `${pid}`, printable(command), state, `${controllerPid}`];
  // It runs nothing any more, and counts nothing.
  if (state === 'closed') return [[...head, '-', '-', `${kilobytes(mappedBytes)} held`, '-', '-']];
  const links = session?.links ?? [];
  if (links.length === 0) return [[...head, '-', '-', '-', '-', '-']];
  return links.map((link) => [
    ...head,
    printable(link.program),
    kindOf(link),
    printable(link.target),
    `${link.hits}`,
    `${link.missed}`,
  ]);
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024)} KiB`;
}

function asJson(listed: ListedSession, kindOf: KindOf): object {
  const { id, pid, command, state, controllerPid, began, mappedBytes, session } = listed;
  return {
    id,
    pid,
    command,
    state,
    controller: controllerPid,
    began: began.toISOString(),
    links: (session?.links ?? []).map((link) => ({
      id: link.id,
      program: link.program,
      section: link.section,
      kind: kindOf(link),
      target: link.target,
      address: `0x${link.address.toString(16)}`,
      hits: jsonNumber(link.hits),
      missed: jsonNumber(link.missed),
    })),
    maps: session?.mapNames ?? [],
    ...(state === 'closed' && { held_bytes: mappedBytes }),
  };
}

function jsonNumber(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `${value}`;
}
