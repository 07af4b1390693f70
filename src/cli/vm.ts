/**
 * `remora vm`: runs one bare program in a process of our own, by the plug-in protocol of bpf_conformance, so that any
 * outside suite can be run against us.
 */
import { createInterface } from 'node:readline';
import { Command, Option } from 'commander';
import { CliError } from './errors.ts';
import { readStdin } from './input.ts';
import { parseDuration, shared } from './options.ts';
import { Output } from './output.ts';

interface VmOptions {
  readonly interpret?: true;
  readonly batch?: true;
  /** In milliseconds. */
  readonly timeLimit: number;
  readonly o?: string;
}

/** Runs programs one after the other. */
interface Engine extends Disposable {
  /**
   * @returns r0
   * @throws {InsnError | VerifierError} if the program is refused; {CliError} CLI_CRASHED if it took its process with it
   */
  run(code: Uint8Array, memory: Uint8Array): Promise<bigint>;
}

export function vmCommand(): Command {
  return new Command('vm')
    .description('Run one program: bytecode as hex on stdin, its memory as hex in MEMORY; prints r0 in hex.')
    .argument('[MEMORY]', 'what r1 points to and r2 is the size of: hex digits, blanks allowed')
    .option('--interpret', 'run it in the interpreter instead of as native code')
    .option('--batch', 'read JSON lines {"code","mem"} instead, and answer {"r0"} or {"error"} a line')
    .addOption(
      new Option('--time-limit <TIME>', 'how long native code may run').argParser(parseDuration).default(10_000, '10s'),
    )
    .option('--debug', 'accepted, as the protocol has it; changes nothing')
    .addOption(shared.output())
    .addOption(shared.noColor())
    .action(vm);
}

async function vm(memory: string | undefined, options: VmOptions): Promise<void> {
  using engine = await makeEngine(options);
  const output = Output.to(options.o);
  if (options.batch) {
    if (memory !== undefined) throw new CliError('CLI_BAD_USAGE', 'cannot take MEMORY with --batch: lines have theirs');
    for await (const line of createInterface({ input: process.stdin })) {
      if (line.trim() !== '') output.line(JSON.stringify(await answer(engine, line)));
    }
  } else {
    const r0 = await engine.run(bytesOf('the program', await readStdin()), bytesOf('MEMORY', memory ?? ''));
    output.line(r0.toString(16));
  }
  await output.flush();
}

async function makeEngine({ interpret, timeLimit }: VmOptions): Promise<Engine> {
  if (!interpret) return new (await import('./native-child.ts')).NativeChild(timeLimit);
  const { checkBareProgram, interpretBare } = await import('../index.ts');
  return {
    run: async (code, memory) => interpretBare(checkBareProgram(code), memory),
    [Symbol.dispose]() {},
  };
}

/** The answer to one line of a batch. Whatever is wrong with it is the line's, never the batch's. */
async function answer(engine: Engine, line: string): Promise<{ readonly r0: string } | { readonly error: string }> {
  try {
    const { code, mem } = fieldsOf(line);
    const r0 = await engine.run(bytesOf('code', code), bytesOf('mem', mem));
    return { r0: `0x${r0.toString(16)}` };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function fieldsOf(line: string): { readonly code: string; readonly mem: string } {
  const { code, mem = '' } = Object(parseJson(line)) as { readonly code?: unknown; readonly mem?: unknown };
  if (typeof code !== 'string' || typeof mem !== 'string') {
    throw new CliError('CLI_BAD_INPUT', 'cannot read the line: wanted {"code": "HEX", "mem": "HEX"}');
  }
  return { code, mem };
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new CliError('CLI_BAD_INPUT', 'cannot read the line: it is not JSON', { cause });
  }
}

function bytesOf(what: string, hex: string): Uint8Array {
  const digits = hex.replace(/\s+/g, '').replace(/^0x/, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) {
    throw new CliError('CLI_BAD_INPUT', `cannot read ${what}: wanted hexadecimal bytes`);
  }
  return new Uint8Array(Buffer.from(digits, 'hex'));
}
