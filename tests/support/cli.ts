/** Runs the command line as a user does: another process, its streams and its exit code. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** The built command, next to the built tests. */
export const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface CliResult {
  /** The exit code, null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `remora` with `args`; the caller ends it. */
export function startRemora(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [CLI, ...args]);
}

/** Runs `remora` with `args` to its end. */
export async function remora(args: readonly string[], input = ''): Promise<CliResult> {
  const child = startRemora(args);
  child.stdin.on('error', () => {}); // it need not read all, or any
  child.stdin.end(input);
  const code = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}

/** The objects of JSON lines. */
export function jsonLines(output: string): unknown[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/** A `remora` under way. */
export class RunningRemora {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #result: Promise<CliResult>;
  stdout = '';
  #stderr = '';

  constructor(args: readonly string[]) {
    this.child = startRemora(args);
    this.child.stdout.on('data', (data) => {
      this.stdout += data;
    });
    this.child.stderr.on('data', (data) => {
      this.#stderr += data;
    });
    this.#result = once(this.child, 'close').then(([code]) => ({ code, stdout: this.stdout, stderr: this.#stderr }));
  }

  /** Waits until standard output or standard error matches. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout) && !pattern.test(this.#stderr)) {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.#stderr}`);
      await Promise.race([once(this.child.stdout, 'data'), once(this.child.stderr, 'data'), once(this.child, 'close')]);
    }
  }

  /** Sends signals, and waits for the end. */
  async end(...signals: readonly NodeJS.Signals[]): Promise<CliResult> {
    for (const signal of signals) this.child.kill(signal);
    return this.#result;
  }
}
