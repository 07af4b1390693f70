/** `remora maps`: what the maps of attached programs hold, seen from another shell. */
import { Argument, Command } from 'commander';
import type { BpfMap, ListedSession } from '../index.ts';
import { forEachProcess } from './each-process.ts';
import { CliError } from './errors.ts';
import { JsonReport } from './json-report.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { type Column, paletteFor, printable, table } from './text.ts';
import { TextReport } from './text-report.ts';

interface MapsOptions {
  readonly pid: readonly number[];
  readonly session?: string;
  readonly json?: true;
  readonly o?: string;
  readonly verbose?: true;
  readonly color: boolean;
}

export function mapsCommand(): Command {
  return new Command('maps')
    .description('List the maps of what is attached to a process; `maps dump NAME` shows what one holds.')
    .addArgument(new Argument('[dump]', 'show entries, not only names').choices(['dump']))
    .argument('[NAME]', 'a map; every map if not given')
    .addOption(shared.pid().makeOptionMandatory())
    .option('--session <ID>', 'maps of this session only, as `remora ps` shows it')
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .action(maps);
}

async function maps(dump: 'dump' | undefined, name: string | undefined, options: MapsOptions): Promise<void> {
  const { ProcessSessions } = await import('../index.ts');
  const output = Output.to(options.o);
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  const detail = options.verbose ? 'full' : 'usual';
  const report = options.json
    ? new JsonReport(output)
    : new TextReport({ output, palette: paletteFor(output, options), note, detail });
  const listed: SessionMap[] = [];
  const show = (pid: number): void => {
    using found = new ProcessSessions(pid);
    const sessions = found.sessions.filter(({ id }) => options.session === undefined || options.session === id);
    const all = sessions.flatMap((session) => mapsOf(session, name));
    if (all.length === 0 && (name !== undefined || options.session !== undefined)) {
      throw new CliError('CLI_NO_SESSION', `cannot show maps of ${pid}: ${name ?? options.session} is not there`, {
        fix: `\`remora maps -p ${pid}\` lists what is`,
      });
    }
    if (dump === undefined) listed.push(...all);
    else for (const { map } of all) report.map(map);
  };
  await forEachProcess(options.pid, show, { ...options, output, tell: () => list(listed, output, options) });
}

interface SessionMap {
  readonly pid: number;
  readonly session: string;
  readonly map: BpfMap;
}

function mapsOf({ pid, id, session }: ListedSession, wanted: string | undefined): SessionMap[] {
  const names = (session?.mapNames ?? []).filter((name) => wanted === undefined || name === wanted);
  return names.flatMap((name) => {
    const map = session?.map(name);
    return map === undefined ? [] : [{ pid, session: id, map }];
  });
}

function list(all: readonly SessionMap[], output: Output, { json }: MapsOptions): void {
  const rows = all.map(({ pid, session, map: { name, typeName, spec } }) => {
    const { keySize, valueSize, maxEntries } = spec;
    if (json) {
      const data = {
        pid,
        session,
        name,
        map_type: typeName,
        key_size: keySize,
        value_size: valueSize,
        max_entries: maxEntries,
      };
      output.line(JSON.stringify({ type: 'map_info', data }));
    }
    return [session, `${pid}`, printable(name), typeName, `${keySize}`, `${valueSize}`, `${maxEntries}`];
  });
  if (json || rows.length === 0) return;
  for (const line of table(COLUMNS, rows)) output.line(line);
}

const COLUMNS: readonly Column[] = [
  { title: 'session', align: 'left' },
  { title: 'pid', align: 'right' },
  { title: 'map', align: 'left' },
  { title: 'type', align: 'left' },
  { title: 'key bytes', align: 'right' },
  { title: 'value bytes', align: 'right' },
  { title: 'entries at most', align: 'right' },
];
