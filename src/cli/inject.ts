/** `remora inject`: makes system calls and functions of a process fail, as strace's `-e inject` does, and counts how often. */
import { Command, InvalidArgumentError } from 'commander';
import type { TargetProcess } from '../index.ts';
import { CliError } from './errors.ts';
import type { PlannedFault } from './fault-rule.ts';
import { injectReport, jsonStats, textStats } from './inject-report.ts';
import { endOfSession } from './load.ts';
import { onlyPid, shared } from './options.ts';
import { Output } from './output.ts';
import { openReport, type SessionOptions } from './session-options.ts';
import { watch } from './watch.ts';

interface InjectOptions extends SessionOptions {
  readonly pid: readonly number[];
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
  remora inject -p 4242 %file:error=EIO:percent=1 libc:malloc:return=0:when=1000`;

export function injectCommand(): Command {
  return new Command('inject')
    .description('Make system calls and functions of a process fail, and count how often.')
    .argument('<RULE...>', 'what is to fail, how and when')
    .addOption(shared.pid().makeOptionMandatory())
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

async function inject(rules: readonly string[], options: InjectOptions): Promise<void> {
  const { faultCounts, openFaults, openProcess } = await import('../index.ts');
  const { planFaults } = await import('./fault-rule.ts');
  const pid = onlyPid(options.pid, 'inject');
  const planned = planFaults(rules);
  const seed = options.seed ?? BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);
  // Whatever fails, the object leaves the target before the target is closed.
  using target = openProcess(pid);
  const faults = await possibleFaults(planned, target);
  if (faults.length === 0) throw new CliError('CLI_BAD_USAGE', 'cannot inject: the rules name no system call');
  using object = openFaults(faults, seed);
  const output = Output.to(options.o);
  const write = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const ended = endOfSession(output);
  const { links, pauseUs } = object.attachAll(target);
  using loads = object.awaitLoads();
  const counts = object.map('faults');
  const reported = {
    rules: faults.map(({ rule }) => rule),
    seed: faults.some(({ percent }) => percent !== undefined) ? seed : undefined,
    injected: (index: number) => faultCounts(counts, index).injected,
  };
  const stats = (options.json ? jsonStats : textStats)(output, reported);
  const report = injectReport(openReport(output, options, { write }), stats);
  if (options.duration !== undefined) setTimeout(() => ended.abort(), options.duration).unref();
  report.attached(pid, links, pauseUs);
  const lasts = (): boolean => !target.isGone() && !object.isDetachedByOthers(target);
  await watch(
    { object, attached: [{ target, links }], loads, report, output, following: undefined, lasts },
    ended.signal,
  );
}

/** Without the calls of larger sets that the process has no code for. */
async function possibleFaults(
  planned: readonly PlannedFault[],
  target: TargetProcess,
): Promise<readonly PlannedFault[]> {
  if (planned.every(({ isOneOfMany }) => !isOneOfMany)) return planned;
  const { syscallPlaces } = await import('../index.ts');
  const places = syscallPlaces(target).filter(({ refusal }) => refusal === undefined);
  const isMade = (call: number | undefined) => places.some(({ number }) => number === undefined || number === call);
  return planned.filter(({ call, isOneOfMany }) => !isOneOfMany || isMade(call));
}

function parseSeed(text: string): bigint {
  if (!/^\d{1,19}$/.test(text)) throw new InvalidArgumentError('Wanted a number.');
  return BigInt(text);
}
