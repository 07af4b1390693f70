/** `remora list` and `remora explain` of system calls: which there are, and from which places of a process they are seen. */
import type { ListedSyscall, SyscallCoverage, SyscallPlace, TargetProcess } from '../index.ts';
import { CliError } from './errors.ts';
import { Exit, type ExitCode } from './exit-codes.ts';
import type { Output } from './output.ts';
import { count, type Palette, printable } from './text.ts';

/** What stands behind `syscall:`; undefined for other probes. */
export function syscallPattern(text: string): string | undefined {
  return /^syscall:(.*)$/s.exec(text)?.[1];
}

/** Each call that matches, as text and as data; of a process also from how many of its places it is seen. */
export async function listCalls(pattern: string, target: TargetProcess | undefined) {
  const { listSyscalls, syscallCoverage, syscallPlaces } = await import('../index.ts');
  const calls = listSyscalls(pattern);
  if (target === undefined) return calls.map((call) => ({ text: `syscall:${call.name}`, data: asJson(call) }));
  const places = syscallPlaces(target);
  return calls.map((call) => {
    const coverage = syscallCoverage(places, call.number);
    const text = `${`syscall:${call.name}`.padEnd(NAME_WIDTH)}  ${coverageText(coverage)}`;
    return { text, data: { ...asJson(call), ...coverageJson(coverage) } };
  });
}

const NAME_WIDTH = 36;

/** Writes from where a call is seen, place by place. @returns the exit code */
export async function explainCall(
  name: string,
  target: TargetProcess,
  output: Output,
  { json, palette }: { readonly json: boolean; readonly palette: Palette },
): Promise<ExitCode> {
  const { listSyscalls, syscallCoverage, syscallPlaces } = await import('../index.ts');
  const [call, ...others] = listSyscalls(name);
  if (others.length > 0) {
    throw new CliError('CLI_BAD_USAGE', `cannot explain 'syscall:${name}': it is ${others.length + 1} system calls`, {
      fix: `list them: remora list 'syscall:${name}' -p ${target.pid}`,
    });
  }
  const coverage = syscallCoverage(syscallPlaces(target), call!.number);
  const places = [...coverage.own, ...coverage.any];
  const isSeen = coverage.unreached.length < places.length;
  if (json) {
    const method = isSeen ? 'jump' : null;
    const sites = places.map(placeJson);
    const { pid } = target;
    const data = { ...asJson(call!), type: 'site', method, ...coverageJson(coverage), pid, places: sites };
    output.line(JSON.stringify(data));
  } else {
    output.line(palette.bold(`syscall:${call!.name}`));
    output.line(`number ${call!.number}, ${coverageText(coverage)}`);
    output.line('');
    for (const place of places) output.line(printable(placeText(place)));
    output.line('');
    output.line(
      `${palette.bold('method:')} ${isSeen ? JUMP : 'none: no code of the process makes this call where it can be seen'}`,
    );
  }
  return isSeen ? Exit.OK : Exit.UNSUPPORTED;
}

const JUMP =
  'jump: 5 bytes beside each call become a jump to the programs; places without room for one are left alone, at no cost: their calls are not seen';

function asJson({ name, number }: ListedSyscall): object {
  return { type: 'probe', kind: 'syscall', syscall: name, number };
}

function coverageJson({ own, any, unreached }: SyscallCoverage): object {
  return {
    sites: own.length + any.length - unreached.length,
    sites_own: own.length,
    sites_unreached: unreached.length,
  };
}

function coverageText({ own, any, unreached }: SyscallCoverage): string {
  const parts = [`${count(own.length, 'place')} of its own`, `${any.length} for any call`];
  return [...parts, ...(unreached.length === 0 ? [] : [`${unreached.length} of them not reached`])].join(', ');
}

function placeJson({ module, address, number, refusal }: SyscallPlace): object {
  return {
    address: hex(address),
    binary: module.path,
    number: number ?? null,
    method: refusal === undefined ? 'jump' : null,
    ...(refusal !== undefined && { error: refusal }),
  };
}

function placeText({ module, address, number, refusal, displaced: [front, behind] }: SyscallPlace): string {
  const which = number === undefined ? 'any call' : 'its own';
  const how = refusal === undefined ? `jump over ${front} bytes in front, ${behind} behind` : `not reached: ${refusal}`;
  return `  ${hex(address)}  ${module.name.padEnd(BINARY_WIDTH)}  ${which.padEnd(WHICH_WIDTH)}  ${how}`;
}

const BINARY_WIDTH = 24;
const WHICH_WIDTH = 'any call'.length;

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
