/** `remora ps`: what is attached, in one process or in all, whoever attached it. */
import { Command } from 'commander';
import { BpfError } from '../errors.ts';
import type { FoundLink, ListedSession } from '../index.ts';
import { removeSessions } from './detach.ts';
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
    for (const pid of pids) await removeSessions(pid, isLeft, { ...options, output, note });
    await output.flush();
    return;
  }
  const rows: string[][] = [];
  for (const pid of pids) {
    // A process named on the command line must be there; one that was found may end meanwhile, or be another user's.
    using found = options.pid === undefined ? readable(() => new ProcessSessions(pid)) : new ProcessSessions(pid);
    for (const { message } of found?.problems ?? []) note(`note: process ${pid}: ${printable(message)}`);
    for (const listed of found?.sessions ?? []) {
      if (options.json) output.line(JSON.stringify({ type: 'session', data: asJson(listed, kindOf) }));
      else rows.push(...rowsOf(listed, kindOf));
    }
  }
  if (!options.json) {
    if (rows.length > 0) for (const line of table(COLUMNS, rows)) output.line(line);
    else note('nothing is attached');
  }
  await output.flush();
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

function rowsOf({ id, pid, command, state, controllerPid, session }: ListedSession, kindOf: KindOf): string[][] {
  const head = [id, `${pid}`, printable(command), state, `${controllerPid}`];
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

function asJson({ id, pid, command, state, controllerPid, began, session }: ListedSession, kindOf: KindOf): object {
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
  };
}

function jsonNumber(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `${value}`;
}
