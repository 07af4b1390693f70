/** How long the command takes from its start to its end, beside a Node that does nothing. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type Spread, spread } from './stats.ts';

export interface StartUp {
  readonly command: string;
  readonly ms: Spread;
}

/** The built command, next to the built bench. */
const CLI = join(import.meta.dirname, '../src/cli/main.js');

const COMMANDS = [
  { command: 'node -e 0', args: ['-e', '0'] },
  { command: 'remora --version', args: [CLI, '--version'] },
  { command: 'remora doctor', args: [CLI, 'doctor'] },
] as const;

/** Runs every command `times` times, in turn. @throws Error if one fails */
export function measureStartUp(times: number): StartUp[] {
  const samples = COMMANDS.map(() => [] as number[]);
  for (let i = 0; i < times; i++) {
    for (const [which, { command, args }] of COMMANDS.entries()) {
      const begin = performance.now();
      const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
      samples[which]!.push(performance.now() - begin);
      if (status !== 0) throw new Error(`cannot time ${command}: it ended with ${status}, wanted 0`);
    }
  }
  return COMMANDS.map(({ command }, which) => ({ command, ms: spread(samples[which]!) }));
}
