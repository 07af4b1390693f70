/** tests/targets/stepped.c: one thread that a test can leave at any instruction, parked or in a signal handler. */
import { disassembleX64, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from './code-hash.ts';
import { Stepper } from './stepper.ts';
import { compileTarget, type RunningTarget, startTarget, stateOf, waitUntil } from './targets.ts';
import { readVariable, writeVariable } from './variables.ts';

/** What it calls, each once a round. */
export const STEPPED = ['pushes', 'frame', 'branded', 'brief', 'nested'] as const;

export class SteppedTarget implements Disposable {
  readonly running: RunningTarget;
  readonly target: TargetProcess;
  readonly #code: Record<string, string>;

  constructor(...args: readonly string[]) {
    this.running = startTarget(compileTarget('stepped'), args);
    this.target = openProcess(this.running.pid);
    this.#code = codeHashes(this.running.pid);
  }

  get(variable: string): bigint {
    return readVariable(this.target, 'stepped', variable);
  }

  set(variable: string, value: bigint): void {
    writeVariable(this.target, 'stepped', variable, value);
  }

  /** Addresses of a function's instructions, the first one first. */
  instructionsOf(name: string): readonly bigint[] {
    const { address, size } = this.target.resolveFunction(this.target.findModule('stepped'), name);
    return disassembleX64(this.target.memory.read(address, size), address).map((line) => line.address);
  }

  start(): void {
    this.set('go', 1n);
    this.#await('it works', () => this.get('busy') === 1n);
  }

  /** Waits until it stands between two rounds. */
  stop(): void {
    this.set('go', 0n);
    this.#await('it stands', () => this.get('busy') === 0n);
  }

  /** Has it make some rounds more. */
  runOn(): void {
    const wanted = this.get('made') + 50n;
    this.#await('it goes on', () => this.get('made') >= wanted);
  }

  /** Takes the working thread to an instruction that `isThere` names. */
  stepTo(isThere: (rip: bigint) => boolean): Stepper {
    const stepper = new Stepper(this.running.pid);
    stepper.stepTo(isThere);
    return stepper;
  }

  /** Leaves a thread stopped where it is. */
  park(stepper: Stepper): void {
    stepper.park();
    this.#await('it is stopped', () => stateOf(this.running.pid) === 'T');
  }

  /** How many instructions a call of a function runs up to its return, the first with an argument. */
  countSteps(name: string, argument: bigint): number {
    const { address, size } = this.target.resolveFunction(this.target.findModule('stepped'), name);
    const module = this.target.findModule('stepped');
    using stepper = this.stepInto(name, 0, argument);
    for (let steps = 1; ; steps++) {
      const rip = stepper.step();
      if (module.holdsCode(rip) && (rip < address || rip >= address + BigInt(size))) return steps;
    }
  }

  /** Takes the thread to the first call of a function with a new argument, and `count` instructions further. */
  stepInto(name: string, count: number, argument: bigint): Stepper {
    const [entry] = this.instructionsOf(name);
    this.stop();
    this.set('argument', argument);
    const stepper = new Stepper(this.running.pid);
    this.set('go', 1n);
    stepper.stepTo((rip) => rip === entry);
    for (let n = 0; n < count; n++) stepper.step();
    return stepper;
  }

  continue(): void {
    process.kill(this.running.pid, 'SIGCONT');
  }

  /** Sends a signal to the thread at the instruction it is held at, and waits until the handler has begun to wait. */
  handleAt(isThere: (rip: bigint) => boolean, signal: number): void {
    this.stepTo(isThere).leave(signal);
    this.#await('the handler runs', () => this.get('handling') === 1n);
  }

  /** Lets the waiting handler return. */
  releaseHandler(): void {
    const handled = this.get('handled');
    this.set('release', 1n);
    this.#await('the handler has returned', () => this.get('handled') > handled);
    this.set('release', 0n);
  }

  changedCode(): string[] {
    const now = codeHashes(this.running.pid);
    return Object.keys(this.#code).filter((key) => now[key] !== this.#code[key]);
  }

  [Symbol.dispose](): void {
    this.target[Symbol.dispose]();
    this.running[Symbol.dispose]();
  }

  #await(what: string, condition: () => boolean): void {
    waitUntil(what, () => condition() || !this.running.isRunning(), 20_000);
    if (!this.running.isRunning()) throw new Error(`the target died before ${what}`);
  }
}
