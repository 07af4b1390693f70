/** What the commands that attach an object have in common: their options, and the report that these ask for. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Autoload, BpfObject, OpenObjectOptions, Permission } from '../index.ts';
import { JsonReport } from './json-report.ts';
import type { LoadReport } from './load-report.ts';
import { shared } from './options.ts';
import type { Output } from './output.ts';
import { paletteFor, printable } from './text.ts';
import { TextReport } from './text-report.ts';

/** The options, as commander reads them. */
export interface SessionOptions {
  readonly allow?: readonly Permission[];
  readonly attach?: ReadonlyMap<string, string>;
  readonly skip?: readonly string[];
  readonly follow?: true;
  readonly maxEntries?: ReadonlyMap<string, number>;
  readonly pinMaps?: string;
  readonly set?: ReadonlyMap<string, string>;
  readonly json?: true;
  readonly o?: string;
  readonly quiet?: true;
  readonly verbose?: true;
  readonly color: boolean;
}

/** Adds the options to a command, in the order in which its help shows them. */
export function addSessionOptions(command: Command): Command {
  return command
    .option(
      '--attach <PROGRAM=PLACE>',
      'attach PROGRAM to PLACE, such as uprobe:libc.so.6:malloc, instead of where its section says; repeatable',
      parseAttach,
    )
    .option('--skip <PROGRAM>', 'do not load PROGRAM; repeatable', (name, before: readonly string[] = []) => [
      ...before,
      name,
    ])
    .option(
      '--set <VARIABLE=VALUE>',
      'begin with VALUE in a global variable of FILE, as its own tool would: a number, true, false, or text; repeatable',
      parseVariable,
    )
    .option(
      '--max-entries <MAP=N>',
      'give MAP room for N entries, not for as many as it says; repeatable',
      parseEntries,
    )
    .option(
      '--pin-maps <DIR>',
      'keep maps that ask to be pinned by name in files of DIR, and go on with what these hold',
    )
    .addOption(shared.follow())
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.quiet())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .addOption(shared.allow());
}

/** Which programs the options ask for, and which not: those that are given a place are wanted, wherever their section has them run. */
export function autoloadOf({ attach, skip = [] }: SessionOptions): Autoload {
  const wanted = [...(attach?.keys() ?? [])].map((name) => [name, true] as const);
  return Object.fromEntries([...wanted, ...skip.map((name) => [name, false] as const)]);
}

/** Says which programs of the file are not attached, and what was decided for it. */
export function noteDecisions(object: BpfObject, { attach }: SessionOptions, report: LoadReport): void {
  for (const { name, section, why } of [...object.leftOut, ...object.withoutPlace(attach)]) {
    report.note(printable(`left out: ${name} (${section}): ${why}`));
  }
  for (const { map, field, size } of object.usualSizes) {
    report.note(printable(`map ${map} says no ${field}: it is ${size}, as is usual`));
  }
}

/** The report that the options ask for; `write` takes a line for stderr, `outlook` says what comes next if not Ctrl-C. */
export function openReport(
  output: Output,
  options: SessionOptions,
  { write, outlook }: { readonly write: (line: string) => void; readonly outlook?: string },
): LoadReport {
  const note = options.quiet ? () => {} : (line: string) => write(line);
  if (options.json) return new JsonReport(output, note);
  return new TextReport({
    output,
    palette: paletteFor(output, options),
    note,
    detail: options.verbose ? 'full' : 'usual',
    ...(outlook === undefined ? {} : { outlook }),
  });
}

/** PROGRAM=PLACE. */
function parseAttach(text: string, before: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const { program, place } = /^(?<program>[^=]+)=(?<place>.+)$/s.exec(text)?.groups ?? {};
  if (program === undefined || place === undefined) {
    throw new InvalidArgumentError('Wanted PROGRAM=uprobe:BINARY:FUNCTION.');
  }
  if (before.has(program)) throw new InvalidArgumentError(`${program} has a place already.`);
  return new Map([...before, [program, place]]);
}

/** MAP=N. */
function parseEntries(text: string, before: ReadonlyMap<string, number> = new Map()): ReadonlyMap<string, number> {
  const { map, count } = /^(?<map>[^=]+)=(?<count>\d{1,10})$/s.exec(text)?.groups ?? {};
  if (map === undefined) throw new InvalidArgumentError('Wanted MAP=N.');
  return new Map([...before, [map, Number(count)]]);
}

/** VARIABLE=VALUE. */
function parseVariable(text: string, before: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const { name, value } = /^(?<name>[^=]+)=(?<value>.*)$/s.exec(text)?.groups ?? {};
  if (name === undefined) throw new InvalidArgumentError('Wanted VARIABLE=VALUE.');
  return new Map([...before, [name, value!]]);
}

/** What the options say of the maps of an object that is opened, those of its variables too. */
export function mapOptions({
  maxEntries,
  pinMaps,
  set,
}: SessionOptions): Pick<OpenObjectOptions, 'maxEntries' | 'pinDirectory' | 'variables'> {
  return {
    ...(set !== undefined && { variables: set }),
    ...(maxEntries !== undefined && { maxEntries }),
    ...(pinMaps !== undefined && { pinDirectory: pinMaps }),
  };
}
