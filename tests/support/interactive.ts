/** A program that people use, running before anybody enters it: it says that it is ready, and does something for each line. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stateOf, waitUntil } from './targets.ts';

/** A program with a pipe to its standard input, its output in a file, and nobody here as its parent. */
export class Interactive implements Disposable {
  readonly pid: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-real-'));
  readonly #input: number;

  constructor(path: string, args: readonly string[]) {
    const [input, output] = [join(this.#folder, 'in'), join(this.#folder, 'out')];
    // Opened for reading and writing, so that neither side waits for the other.
    const script = 'mkfifo "$1"; in=$1; out=$2; shift 2; setsid "$@" <>"$in" >"$out" 2>&1 & echo $!';
    const { stdout } = spawnSync('sh', ['-c', script, 'sh', input, output, path, ...args], { encoding: 'utf8' });
    this.pid = Number.parseInt(stdout, 10);
    this.#input = openSync(input, 'r+');
    waitUntil(`${path} is ready`, () => this.output.includes('ready'), 20_000);
  }

  get output(): string {
    return readFileSync(join(this.#folder, 'out'), 'utf8');
  }

  say(line: string): void {
    writeSync(this.#input, `${line}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#input);
    if (stateOf(this.pid) !== undefined) process.kill(this.pid, 'SIGKILL');
    rmSync(this.#folder, { recursive: true });
  }
}
