/** `remora explain`: how a place would be probed, or why it would not. The process is only read, never stopped. */
import { Command } from 'commander';
import type { UprobeExplanation } from '../index.ts';
import { Exit, exitCodeOf } from './exit-codes.ts';
import { describeFailure } from './failure.ts';
import { onlyPid, shared } from './options.ts';
import { Output } from './output.ts';
import { uprobePlace } from './place.ts';
import { explainCall, syscallPattern } from './syscall-probes.ts';
import { count, type Palette, paletteFor, printable } from './text.ts';

interface ExplainOptions {
  readonly pid: readonly number[];
  readonly json?: true;
  readonly o?: string;
  readonly color: boolean;
}

export function explainCommand(): Command {
  return new Command('explain')
    .description('Say how a place would be probed: the method, the bytes, or why not. Exit code 5 if not.')
    .argument('<SITE>', 'BINARY:FUNCTION[+OFFSET], such as libc.so.6:malloc, or syscall:NAME')
    .addOption(shared.pid().makeOptionMandatory())
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.noColor())
    .action(explain);
}

async function explain(site: string, options: ExplainOptions): Promise<void> {
  const { explainUprobe, openProcess } = await import('../index.ts');
  const pid = onlyPid(options.pid, 'explain');
  const call = syscallPattern(site);
  if (call !== undefined) return explainSystemCall(call, pid, options);
  using target = openProcess(pid);
  const explanation = explainUprobe(target, uprobePlace(site));
  const output = Output.to(options.o);
  if (options.json) output.line(JSON.stringify(asJson(explanation)));
  else for (const line of asText(explanation, paletteFor(output, options))) output.line(line);
  await output.flush();
  process.exitCode = explanation.refusal === undefined ? Exit.OK : exitCodeOf(explanation.refusal);
}

async function explainSystemCall(name: string, pid: number, options: ExplainOptions): Promise<void> {
  const output = Output.to(options.o);
  const palette = paletteFor(output, options);
  process.exitCode = await explainCall(name, pid, output, { json: options.json === true, palette });
  await output.flush();
}

function* asText(explanation: UprobeExplanation, palette: Palette): Generator<string> {
  const { target, path, address, offset, functionSize, code, plan, refusal } = explanation;
  yield palette.bold(printable(`uprobe:${target}`));
  const inside = offset === 0 ? '' : `byte ${offset} of `;
  yield printable(`at ${hex(address)}, ${inside}a function of ${count(functionSize, 'byte')} in ${path}`);
  yield '';
  for (const line of code) {
    const note = plan === undefined ? '' : line.address < plan.at ? 'stays' : 'moves to the trampoline';
    yield `  ${hex(line.address)}  ${line.text.padEnd(TEXT_WIDTH)}  ${palette.dim(note)}`.trimEnd();
  }
  yield '';
  if (plan === undefined) yield describeFailure(refusal, palette);
  else yield `${palette.bold('method:')} ${plan.method}: ${way(plan)}`;
}

const TEXT_WIDTH = 36;

function way({ at, island }: NonNullable<UprobeExplanation['plan']>): string {
  if (island === undefined) return `5 bytes at ${hex(at)} become a jump to the program`;
  return `2 bytes at ${hex(at)} become a jump to padding at ${hex(island.at)}, 5 bytes of it one to the program`;
}

function asJson({ target, path, address, offset, functionSize, code, plan, refusal }: UprobeExplanation): object {
  return {
    type: 'site',
    kind: 'uprobe',
    target,
    binary: path,
    address: hex(address),
    offset,
    function_size: functionSize,
    method: plan?.method ?? null,
    instructions: code.map((line) => ({ address: hex(line.address), size: line.size, text: line.text })),
    ...(plan && { window: { address: hex(plan.at), bytes: Buffer.from(plan.window).toString('hex') } }),
    ...(plan?.island && { island: { address: hex(plan.island.at) } }),
    ...(refusal && {
      code: refusal.code,
      error: refusal.message,
      why: refusal.why ?? null,
      fix: refusal.fix ?? null,
    }),
  };
}

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
