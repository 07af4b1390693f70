/** `remora verify`: what the verifier says of each program of an object, or of bare bytecode in a batch. */
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import type { BareMap, MapSpec, Permission, ProgramVerdict, SourceLine } from '../index.ts';
import { CliError } from './errors.ts';
import { Exit } from './exit-codes.ts';
import { describeFailure } from './failure.ts';
import { readFile } from './input.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { type Palette, paletteFor, printable } from './text.ts';

interface VerifyCommandOptions {
  readonly batch?: true;
  readonly verbose?: true;
  readonly json?: true;
  readonly allow?: readonly Permission[];
  readonly o?: string;
  readonly color: boolean;
}

/** With -v: how many of the states an instruction is met in are shown. */
const STATES_PER_INSN = 4;

export function verifyCommand(): Command {
  return new Command('verify')
    .description('Say of each program of an object whether it is proven safe, and why not. Touches no process.')
    .argument('[FILE]', 'an eBPF object file, as clang -target bpf writes it')
    .argument('[PROGRAM]', 'one program of it; without, all of them')
    .option('--batch', 'read JSON lines {"name","insns","kind","maps"} instead, and answer a verdict a line')
    .addOption(shared.allow())
    .addOption(shared.verbose())
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.noColor())
    .action(verifyAction);
}

async function verifyAction(
  file: string | undefined,
  name: string | undefined,
  options: VerifyCommandOptions,
): Promise<void> {
  if ((file === undefined) !== (options.batch === true)) {
    throw new CliError('CLI_BAD_USAGE', 'cannot verify: wanted either FILE or --batch');
  }
  const output = Output.to(options.o);
  const accepted =
    file === undefined ? await verifyLines(output, options) : await verifyFile(file, name, output, options);
  await output.flush();
  if (!accepted) process.exitCode = Exit.REJECTED;
}

async function verifyFile(
  file: string,
  name: string | undefined,
  output: Output,
  { allow = [], verbose, json, color }: VerifyCommandOptions,
): Promise<boolean> {
  const { verifyObject } = await import('../index.ts');
  const palette = paletteFor(output, { color });
  const statesPerInsn = verbose && !json ? STATES_PER_INSN : 0;
  let accepted = true;
  let found = false;
  for (const verdict of verifyObject(readFile(file), { allow, statesPerInsn })) {
    if (name !== undefined && verdict.name !== name) continue;
    found = true;
    accepted &&= verdict.error === undefined;
    if (json) {
      output.line(JSON.stringify({ program: verdict.name, section: verdict.section, ...asJson(verdict) }));
      continue;
    }
    if (verbose) for await (const line of listing(verdict, palette)) output.line(line);
    for (const line of asText(verdict, palette)) output.line(line);
    noteMissing(verdict);
  }
  if (!found && name !== undefined)
    throw new CliError('CLI_NO_PROGRAM', `cannot verify ${name}: ${file} has no such program`);
  return accepted;
}

async function verifyLines(output: Output, options: VerifyCommandOptions): Promise<boolean> {
  const { verifyBare } = await import('../index.ts');
  let accepted = true;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === '') continue;
    try {
      const { name, code, kind, maps } = await request(line);
      const verdict = verifyBare(name, code, kind, maps, { allow: options.allow ?? [] });
      accepted &&= verdict.error === undefined;
      output.line(JSON.stringify({ name, ...asJson(verdict) }));
    } catch (error) {
      // Whatever is wrong with a line is the line's, never the batch's.
      accepted = false;
      output.line(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
    }
  }
  return accepted;
}

/** A program may be safe and still wait for a helper. */
function noteMissing({ name, error, missingHelpers }: ProgramVerdict): void {
  if (error !== undefined || missingHelpers.length === 0) return;
  const what = `${name} calls ${missingHelpers.join(', ')}, which is not there yet: it is safe, but load will refuse it`;
  process.stderr.write(`note: ${printable(what)}\n`);
}

function asJson({ error, insnsProcessed, timeUs }: ProgramVerdict): object {
  const line = lineOf(error);
  return {
    verdict: error === undefined ? 'accept' : 'reject',
    message: error === undefined ? null : messageOf(error),
    line: line === undefined ? null : `${line.file}:${line.line}`,
    insns_processed: insnsProcessed,
    time_us: timeUs,
  };
}

/** The refusal with its causes: what a program could not be linked for says why. */
function messageOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function lineOf(error: Error | undefined): SourceLine | undefined {
  return error !== undefined && 'line' in error ? (error.line as SourceLine | undefined) : undefined;
}

function* asText({ name, section, error, insnsProcessed, peakStates, timeUs }: ProgramVerdict, palette: Palette) {
  const what = printable(`${name} (${section})`);
  const effort = `${insnsProcessed} instructions looked at, ${peakStates} states at most, ${(timeUs / 1000).toFixed(1)} ms`;
  yield `${palette.bold(what)}: ${error === undefined ? palette.green('accepted') : palette.red('refused')}, ${effort}`;
  if (error !== undefined) yield describeFailure(error, palette);
}

/** Each instruction with its source, and what registers hold before it. */
async function* listing({ program, states }: ProgramVerdict, palette: Palette): AsyncGenerator<string> {
  if (program === undefined) return;
  const { listBytecode } = await import('./bytecode-listing.ts');
  for (const [index, insn] of listBytecode(program).entries()) {
    if (insn.function !== undefined && index > 0) yield palette.bold(printable(`${insn.function}:`));
    if (insn.source !== undefined) yield palette.cyan(printable(`; ${insn.source.text.trim()}`));
    for (const state of states.get(index) ?? []) yield palette.dim(`        ${printable(state)}`);
    yield `${`${insn.slot}`.padStart(4)}: ${printable(insn.text)}`;
  }
  yield '';
}

type Kind = 'uprobe' | 'tracepoint' | 'raw_tracepoint';
const KINDS: readonly string[] = ['uprobe', 'tracepoint', 'raw_tracepoint'] satisfies Kind[];

interface Request {
  readonly name: string;
  readonly code: Uint8Array;
  readonly kind: Kind;
  readonly maps: readonly BareMap[];
}

/** One line of a batch. @throws {CliError} CLI_BAD_INPUT */
async function request(line: string): Promise<Request> {
  const { name = '', insns, kind = 'uprobe', maps = [] } = objectOf(line);
  if (typeof name !== 'string' || typeof insns !== 'string' || insns.length % 2 !== 0 || /[^0-9a-f]/i.test(insns)) {
    throw badInput('wanted "name" and "insns", bytes in hex');
  }
  if (typeof kind !== 'string' || !KINDS.includes(kind)) throw badInput(`"kind" is not one of ${KINDS.join(', ')}`);
  if (!Array.isArray(maps)) throw badInput('"maps" is no list');
  const { mapTypeNumber } = await import('../index.ts');
  return {
    name,
    code: new Uint8Array(Buffer.from(insns, 'hex')),
    kind: kind as Kind,
    maps: maps.map((map, index) => mapOf(Object(map), index, mapTypeNumber)),
  };
}

function mapOf(
  { type, key_size, value_size, max_entries, map_flags = 0, at = [] }: Record<string, unknown>,
  index: number,
  numberOf: (name: string) => number | undefined,
): BareMap {
  const number = typeof type === 'string' ? numberOf(type) : undefined;
  if (number === undefined) throw badInput(`the type of map ${index} is ${JSON.stringify(type)}, which no map has`);
  const sizes = { keySize: key_size, valueSize: value_size, maxEntries: max_entries, flags: map_flags };
  for (const [name, size] of Object.entries(sizes)) {
    if (typeof size !== 'number' || !(size >= 0 && size < 2 ** 32))
      throw badInput(`${name} of map ${index} is no number`);
  }
  if (!Array.isArray(at) || !at.every((slot) => Number.isInteger(slot)))
    throw badInput(`"at" of map ${index} is no list of slots`);
  const spec = { name: `map${index}`, type: number, keyTypeId: 0, valueTypeId: 0, ...sizes } as MapSpec;
  return { spec, at };
}

function objectOf(line: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(line));
  } catch (cause) {
    throw new CliError('CLI_BAD_INPUT', 'cannot read the line: it is not JSON', { cause });
  }
}

function badInput(why: string): CliError {
  return new CliError('CLI_BAD_INPUT', `cannot read the line: ${why}`);
}
