/** `remora disasm`: bytecode, and the machine code made of it, beside the source. Touches no process. */
import { Command } from 'commander';
import type { LinkedProgram, ObjectSpec, SourceLine } from '../index.ts';
import type { ListedInsn } from './bytecode-listing.ts';
import { CliError } from './errors.ts';
import { readFile } from './input.ts';
import type { NativeLine, NativeListing } from './native-listing.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { type Palette, paletteFor, printable } from './text.ts';

interface DisasmOptions {
  readonly native?: true;
  readonly json?: true;
  readonly o?: string;
  readonly color: boolean;
}

/** One program, listed. */
interface Listing {
  readonly program: LinkedProgram;
  readonly insns: readonly ListedInsn[];
  readonly native: NativeListing | undefined;
}

export function disasmCommand(): Command {
  return new Command('disasm')
    .description('Print the programs of an object: bytecode with its source lines, and machine code.')
    .argument('<FILE>', 'an eBPF object file, as clang -target bpf writes it')
    .argument('[PROGRAM]', 'one program of it; without, all of them')
    .option('--native', 'the x86-64 code under each instruction, as it would be made for a place of its own')
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.noColor())
    .action(disasm);
}

async function disasm(file: string, name: string | undefined, options: DisasmOptions): Promise<void> {
  const { readKernel, readObject } = await import('../index.ts');
  const { listBytecode } = await import('./bytecode-listing.ts');
  const object = readObject(readFile(file), readKernel());
  const listings: Listing[] = [];
  for (const program of selectPrograms(object, name, file)) {
    const native = options.native ? (await import('./native-listing.ts')).listNative(program, object.maps) : undefined;
    listings.push({ program, insns: listBytecode(program), native });
  }
  const output = Output.to(options.o);
  const palette = paletteFor(output, options);
  for (const listing of listings) {
    if (options.json) output.line(JSON.stringify(asJson(listing)));
    else for (const line of asText(listing, palette)) output.line(line);
  }
  await output.flush();
}

function selectPrograms({ programs }: ObjectSpec, name: string | undefined, file: string): readonly LinkedProgram[] {
  if (name === undefined) return programs;
  const program = programs.find((candidate) => candidate.name === name);
  if (program === undefined) {
    const names = programs.map((candidate) => candidate.name).join(', ');
    throw new CliError('CLI_NO_PROGRAM', `cannot disassemble ${name}: ${file} has no such program`, {
      why: names === '' ? 'it has none at all' : `it has ${names}`,
    });
  }
  return [program];
}

/** What `bpftool prog dump xlated linum` prints, with the machine code indented under each instruction. */
function* asText({ program, insns, native }: Listing, palette: Palette): Generator<string> {
  yield palette.bold(printable(`${program.name}: ${program.section}`));
  if (native !== undefined) yield* nativeText(native.before, palette);
  let source: SourceLine | undefined;
  for (const [index, insn] of insns.entries()) {
    if (insn.function !== undefined && index > 0) yield palette.bold(printable(`${insn.function}:`));
    if (insn.source !== undefined && !isSameLine(insn.source, source)) {
      source = insn.source;
      yield palette.cyan(printable(sourceText(source)));
    }
    const opcode = insn.opcode.toString(16).padStart(2, '0');
    yield `${`${insn.slot}`.padStart(4)}: (${opcode}) ${printable(insn.text)}`;
    yield* nativeText(native?.byInsn.get(index) ?? [], palette);
  }
  if (native !== undefined && native.after.length > 0) {
    yield palette.bold('afterwards, and out of line:');
    yield* nativeText(native.after, palette);
  }
  yield '';
}

/** The compiler begins a line anew wherever it changes its mind about the column. */
function isSameLine(a: SourceLine, b: SourceLine | undefined): boolean {
  return a.file === b?.file && a.line === b.line;
}

function sourceText({ file, line, text }: SourceLine): string {
  return `; ${text.trim()}  [${file}:${line}]`;
}

/** x86-64 instructions have up to 15 bytes, hardly ever more than 10. */
const BYTES_WIDTH = 20;

function* nativeText(lines: readonly NativeLine[], palette: Palette): Generator<string> {
  for (const { address, bytes, text } of lines) {
    yield palette.dim(`        ${address.toString(16)}:  ${bytes.padEnd(BYTES_WIDTH)}  ${text}`);
  }
}

function asJson({ program, insns, native }: Listing): object {
  const { name, section } = program;
  const inJson = (lines: readonly NativeLine[]) =>
    lines.map(({ address, bytes, text }) => ({ address: `0x${address.toString(16)}`, bytes, text }));
  return {
    type: 'program',
    name,
    section,
    insns: insns.map(({ source, ...insn }, index) => ({
      ...insn,
      ...(source && { source: { file: source.file, line: source.line, column: source.column, text: source.text } }),
      ...(native && { native: inJson(native.byInsn.get(index) ?? []) }),
    })),
    ...(native && { before: inJson(native.before), after: inJson(native.after) }),
  };
}
