/** Options that mean the same in every command, and how their arguments are read. */
import { InvalidArgumentError, Option } from 'commander';
import type { Permission } from '../index.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** The longest delay a timer takes, in milliseconds: almost 25 days. */
const LONGEST = 2 ** 31 - 1;

/** `500ms`, `5s`, `1.5m`, `2h`; a bare number is seconds. Gives milliseconds. */
export function parseDuration(text: string): number {
  const { number, unit = 's' } = /^(?<number>\d+(?:\.\d+)?)(?<unit>ms|s|m|h)?$/.exec(text)?.groups ?? {};
  const duration = Number(number) * UNITS[unit]!;
  if (!(duration > 0 && duration <= LONGEST)) {
    throw new InvalidArgumentError('Wanted a time such as 500ms, 5s or 2m.');
  }
  return duration;
}

/** A process id. */
export function parsePid(text: string): number {
  const pid = Number(text);
  if (!/^\d+$/.test(text) || pid < 1 || pid >= 2 ** 31) throw new InvalidArgumentError('Wanted a process id.');
  return pid;
}

const PERMISSIONS: readonly Permission[] = ['override', 'write-user', 'signal'];

function parsePermission(text: string, before: readonly Permission[] = []): readonly Permission[] {
  const name = PERMISSIONS.find((known) => known === text);
  if (name === undefined) throw new InvalidArgumentError(`Wanted ${PERMISSIONS.join(', ')}.`);
  return [...before, name];
}

/** The shared options, made anew for each command. */
export const shared = {
  pid: () =>
    new Option('-p, --pid <PID>', 'the process to attach to; repeatable').argParser(
      (text, before: readonly number[] = []) => [...before, parsePid(text)],
    ),
  json: () => new Option('--json', 'print JSON lines instead of text'),
  output: () => new Option('-o <FILE>', 'write data to FILE instead of standard output'),
  follow: () => new Option('-f, --follow', 'follow children: forks, and programs that they become'),
  duration: () => new Option('--duration <TIME>', 'end after TIME: 500ms, 5s, 2m').argParser(parseDuration),
  quiet: () => new Option('-q, --quiet', 'no notes on stderr, only errors'),
  verbose: () => new Option('-v, --verbose', 'tell more'),
  noColor: () => new Option('--no-color', 'no colour, as with NO_COLOR=1'),
  allow: () =>
    new Option('--allow <NAME>', `let programs change the target: ${PERMISSIONS.join(', ')}`).argParser(
      parsePermission,
    ),
} as const;
