/** `remora explain`: how a place would be probed, or why it would not. Processes are only read, never stopped. */
import { Command } from 'commander';
import type { TargetProcess, UprobeExplanation } from '../index.ts';
import { forEachProcess } from './each-process.ts';
import { Exit, type ExitCode, exitCodeOf } from './exit-codes.ts';
import { describeFailure } from './failure.ts';
import { shared } from './options.ts';
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
  const { openProcess } = await import('../index.ts');
  const output = Output.to(options.o);
  const palette = paletteFor(output, options);
  const isOne = new Set(options.pid).size === 1;
  const call = syscallPattern(site);
  const place = call === undefined ? uprobePlace(site) : undefined;
  const explained: ExitCode[] = [];
  const explainIn = async (pid: number): Promise<void> => {
    using target = openProcess(pid);
    if (!isOne && !options.json) output.line(`${explained.length > 0 ? '\n' : ''}${palette.bold(`process ${pid}`)}`);
    const json = options.json === true;
    if (call !== undefined) explained.push(await explainCall(call, target, output, { json, palette }));
    else explained.push(await explainFunction(place!, target, output, { json, palette }));
  };
  await forEachProcess(options.pid, explainIn, { ...options, output });
  process.exitCode = explained.find((code) => code !== Exit.OK) ?? Exit.OK;
}

async function explainFunction(
  place: string,
  target: TargetProcess,
  output: Output,
  { json, palette }: { readonly json: boolean; readonly palette: Palette },
): Promise<ExitCode> {
  const { explainUprobe } = await import('../index.ts');
  const explanation = explainUprobe(target, place);
  if (json) output.line(JSON.stringify(asJson(explanation, target.pid)));
  else for (const line of asText(explanation, palette)) output.line(line);
  return explanation.refusal === undefined ? Exit.OK : exitCodeOf(explanation.refusal);
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

function asJson(explanation: UprobeExplanation, pid: number): object {
  const { target, path, address, offset, functionSize, code, plan, refusal } = explanation;
  return {
    type: 'site',
    kind: 'uprobe',
    pid,
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
