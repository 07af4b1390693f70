/** Where a command's data goes: standard output, or the file of `-o`. Notes for the reader go to stderr instead. */
import { createWriteStream, openSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { CliError } from './errors.ts';

/** A place that takes lines. It may go away (`remora ... | head`), which ends a command but is no error. */
export class Output {
  /** Resolves when nothing more can be written: the reader has gone, or the disk is full (`failure` tells). */
  readonly gone: Promise<void>;
  readonly isTTY: boolean;
  readonly #stream: Writable;
  #isGone = false;
  #failure: CliError | undefined;

  private constructor(stream: Writable, name: string, isTTY: boolean) {
    this.#stream = stream;
    this.isTTY = isTTY;
    this.gone = new Promise((resolve) => {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        this.#isGone = true;
        if (error.code !== 'EPIPE') {
          this.#failure ??= new CliError('CLI_WRITE_FAILED', `cannot write to ${name}: ${error.code ?? error.message}`);
        }
        resolve();
      });
    });
  }

  /** @param file the argument of `-o`; standard output without. @throws {CliError} CLI_BAD_FILE */
  static to(file: string | undefined): Output {
    if (file === undefined) return new Output(process.stdout, 'standard output', process.stdout.isTTY === true);
    try {
      return new Output(createWriteStream(file, { fd: openSync(file, 'w') }), file, false);
    } catch (error) {
      throw new CliError('CLI_BAD_FILE', `cannot write to ${file}: ${(error as NodeJS.ErrnoException).code}`, {
        cause: error,
      });
    }
  }

  /** True while the reader is slower than we are: who can wait waits. */
  get isFull(): boolean {
    return this.#stream.writableNeedDrain;
  }

  line(text: string): void {
    if (!this.#isGone) this.#stream.write(`${text}\n`);
  }

  /** Waits until everything is written. @throws {CliError} CLI_WRITE_FAILED if that failed */
  async flush(): Promise<void> {
    const written = new Promise<void>((resolve) => {
      if (this.#isGone) resolve();
      else this.#stream.write('', () => resolve());
    });
    await Promise.race([written, this.gone]);
    if (this.#failure !== undefined) throw this.#failure;
  }
}
