/**
 * Runs machine code in a child process, so that a crash or an endless loop there is an error here. A child lives until a
 * program kills it; the next program gets a new one.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { checkBareProgram, compileBare } from '../index.ts';
import { CliError } from './errors.ts';
import type { FromNativeHost, ToNativeHost } from './native-host.ts';

/** A child, once it has told where code for it must lie. */
interface ReadyChild {
  readonly process: ChildProcess;
  readonly origin: bigint;
}

export class NativeChild implements Disposable {
  readonly #timeLimit: number;
  #child: Promise<ReadyChild> | undefined;

  /** @param timeLimit how long a program may run, in milliseconds */
  constructor(timeLimit: number) {
    this.#timeLimit = timeLimit;
  }

  /**
   * @returns r0
   * @throws {InsnError | VerifierError | CompileError} if there is nothing to run; {CliError} CLI_CRASHED
   */
  async run(bytecode: Uint8Array, memory: Uint8Array): Promise<bigint> {
    const program = checkBareProgram(bytecode);
    this.#child ??= startChild(this.#timeLimit);
    const { process, origin } = await this.#child;
    const code = compileBare(program, origin);
    try {
      const reply = nextMessage(process, this.#timeLimit);
      process.send({ code, memory } satisfies ToNativeHost);
      return (await reply).value;
    } catch (error) {
      this.#child = undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#child?.then(
      ({ process }) => process.kill('SIGKILL'),
      () => {},
    );
    this.#child = undefined;
  }
}

async function startChild(timeLimit: number): Promise<ReadyChild> {
  const process = fork(new URL('./native-host.js', import.meta.url), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  return { process, origin: (await nextMessage(process, timeLimit)).value };
}

/** The child's next message; an error if it ends instead, or takes too long. */
function nextMessage(child: ChildProcess, timeLimit: number): Promise<FromNativeHost> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      settle(() => reject(crash(`it ran for more than ${timeLimit} ms`)));
      child.kill('SIGKILL');
    }, timeLimit);
    const onMessage = (message: unknown): void => settle(() => resolve(message as FromNativeHost));
    const onExit = (code: number | null, signal: string | null): void =>
      settle(() =>
        reject(crash(signal === null ? `its process ended with exit code ${code}` : `it died by ${signal}`)),
      );
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      child.off('message', onMessage).off('exit', onExit);
      outcome();
    };
    child.on('message', onMessage).on('exit', onExit);
  });
}

function crash(why: string): CliError {
  return new CliError('CLI_CRASHED', `cannot run the program: ${why}`);
}
