/**
 * `remora inject`: makes system calls and functions of processes, or of a program that it starts, fail, as strace's `-e inject` does,
 * and counts how often.
 */
import { Command, InvalidArgumentError } from 'commander';
import type { AttachReport, BpfObject, TargetProcess } from '../index.ts';
import { CliError } from './errors.ts';
import type { PlannedFault } from './fault-rule.ts';
import { injectReport, jsonStats, textStats } from './inject-report.ts';
import type { LoadReport } from './load-report.ts';
import { shared } from './options.ts';
import { Output } from './output.ts';
import { watchRunning, writeLine } from './running-processes.ts';
import { openReport, type SessionOptions } from './session-options.ts';
import { runProgram, wordsBehindDashes, writeNote } from './started-program.ts';

interface InjectOptions extends SessionOptions {
  readonly pid?: readonly number[];
  readonly duration?: number;
  readonly seed?: bigint;
}

const EXAMPLES = `
RULE, as in strace's -e inject:
  SET:error=NAME|NUMBER | SET:retval=VALUE   calls give this and are not made; SET: open,openat  %file  /regex  !set
  BINARY:FUNCTION:return=VALUE               the function returns this and does not run
  [:when=FIRST[..LAST][+[STEP]]]             which calls, counted from 1 in all threads together; all if not given
  [:percent=N]                               of those, how many by chance

Examples:
  remora inject -p 4242 openat:error=ENOENT:when=3+2        the 3rd, 5th, 7th, ... openat
  remora inject -p 4242 %file:error=EIO:percent=1 libc:malloc:return=0:when=1000
  remora inject -f openat:error=EACCES:when=20 -- make      from its first instruction on, in all that it starts`;

export function injectCommand(): Command {
  return new Command('inject')
    .description('Make system calls and functions of processes, or of a program, fail, and count how often.')
    .usage('[options] -p PID RULE...\n       remora inject [options] RULE... -- COMMAND...')
    .argument('<RULE...>', 'what is to fail, how and when; and behind --, a program to start')
    .addOption(shared.pid())
    .addOption(shared.follow())
    .addOption(shared.duration())
    .option('--seed <NUMBER>', 'decides which calls fail by chance: the same ones every time', parseSeed)
    .addOption(shared.json())
    .addOption(shared.output())
    .addOption(shared.quiet())
    .addOption(shared.verbose())
    .addOption(shared.noColor())
    .addHelpText('after', EXAMPLES)
    .action(inject);
}

async function inject(words: readonly string[], options: InjectOptions, self: Command): Promise<void> {
  const command = wordsBehindDashes(self) ?? [];
  const rules = words.slice(0, words.length - command.length);
  const pids = options.pid ?? [];
  requireOneWay(rules, pids, command, options);
  const { planFaults } = await import('./fault-rule.ts');
  const planned = planFaults(rules);
  const seed = options.seed ?? BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);
  if (command.length > 0) {
    const output = Output.to(options.o);
    const inner = openReport(output, options, { write: writeNote, outlook: `${command[0]} begins` });
    const open = await faultOpener(planned, seed, options, output, inner);
    await runProgram({ words: command, output, options, open: (target) => open([target]) });
    return;
  }
  await watchRunning(pids, options, async (targets) => {
    const output = Output.to(options.o);
    const open = await faultOpener(planned, seed, options, output, openReport(output, options, { write: writeLine }));
    return { output, ...open(targets) };
  });
}

/** @throws {CliError} CLI_BAD_USAGE */
function requireOneWay(
  rules: readonly string[],
  pids: readonly number[],
  command: readonly string[],
  { duration }: InjectOptions,
): void {
  const refuse = (what: string, fix: string): CliError =>
    new CliError('CLI_BAD_USAGE', `cannot inject: ${what}`, { fix });
  const usage = 'remora inject -p PID RULE..., or remora inject RULE... -- COMMAND';
  if (rules.length === 0) throw refuse('there is no rule', usage);
  if (pids.length > 0 && command.length > 0) throw refuse('there are both processes and a program to start', usage);
  if (pids.length === 0 && command.length === 0)
    throw refuse('there is neither a process nor a program to start', usage);
  if (duration !== undefined && command.length > 0) {
    throw refuse('a program that is started ends by itself', 'leave --duration out');
  }
}

/** What opens the faults that any of the processes can have, once these are there. */
async function faultOpener(
  planned: readonly PlannedFault[],
  seed: bigint,
  { follow, json }: InjectOptions,
  output: Output,
  inner: LoadReport,
) {
  const { faultCounts, openFaults, syscallPlaces } = await import('../index.ts');
  /** Without the calls of larger sets that a process has no code for. */
  const possible = (target: TargetProcess): readonly PlannedFault[] => {
    if (planned.every(({ isOneOfMany }) => !isOneOfMany)) return planned;
    const places = syscallPlaces(target).filter(({ refusal }) => refusal === undefined);
    const isMade = (call: number | undefined) => places.some(({ number }) => number === undefined || number === call);
    return planned.filter(({ call, isOneOfMany }) => !isOneOfMany || isMade(call));
  };
  return (targets: readonly TargetProcess[]) => {
    const possibleIn = new Map(targets.map((target) => [target, new Set(possible(target))]));
    // What children become may have code that their parents do not have.
    const isPossible = (fault: PlannedFault) => follow || [...possibleIn.values()].some((faults) => faults.has(fault));
    const faults = planned.filter(isPossible);
    if (faults.length === 0) throw new CliError('CLI_BAD_USAGE', 'cannot inject: the rules name no system call');
    const object = openFaults(faults, seed);
    const counts = object.map('faults');
    const reported = {
      rules: faults.map(({ rule }) => rule),
      programs: object.programs.map(({ name }) => name),
      seed: faults.some(({ percent }) => percent !== undefined) ? seed : undefined,
      injected: (index: number) => faultCounts(counts, index).injected,
    };
    const report = injectReport(inner, (json ? jsonStats : textStats)(output, reported));
    const attach = (target: TargetProcess): AttachReport => {
      const wanted = possibleIn.get(target)!;
      return faults.every((fault) => wanted.has(fault)) ? object.attachAll(target) : attachSome(object, faults, target);
    };
    return { object, report, attach };
  };
}

/** Attaches what a process has code for, of larger sets. @throws as `attachAll`, for what was asked for by name */
function attachSome(object: BpfObject, faults: readonly PlannedFault[], target: TargetProcess): AttachReport {
  const report = object.attachWhatFits(target);
  const attached = new Set(report.links.map(({ program }) => program));
  const missing = object.programs.find(({ name }, n) => !faults[n]!.isOneOfMany && !attached.has(name));
  missing?.attach(target);
  return report;
}

function parseSeed(text: string): bigint {
  if (!/^\d{1,19}$/.test(text)) throw new InvalidArgumentError('Wanted a number.');
  return BigInt(text);
}
