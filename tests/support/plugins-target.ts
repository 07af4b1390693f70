/** tests/targets/plugins.c: a program that loads and unloads libraries, and the libraries. */
import { type BpfObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from './code-hash.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from './targets.ts';
import { readVariable, writeVariable } from './variables.ts';

/** Calls of `plugin_work` for each time a library is loaded: by its constructor, and by who loaded it. */
export const CALLS_PER_LOAD = 6n;

/** Two that lie differently in their files. */
export function compilePlugins(): readonly [string, string] {
  const flags = ['-shared', '-fPIC'];
  return [compileTarget('plugin', flags), compileTarget('plugin', [...flags, '-DPADDING=70000'])];
}

/** Keeps links of `object` up to date until `isDone`, from before `begin` on. */
export async function follow(object: BpfObject, isDone: () => boolean, begin = () => {}): Promise<void> {
  using loads = object.awaitLoads();
  begin();
  const { signal } = new AbortController();
  while (!isDone()) {
    await loads.next(20, signal);
    loads.update();
  }
}

export class PluginsTarget implements Disposable {
  readonly running: RunningTarget;
  readonly target: TargetProcess;
  readonly #code: Readonly<Record<string, string>>;

  constructor(mode: string, libraries: readonly string[]) {
    this.running = startTarget(compileTarget('plugins'), [mode, ...libraries]);
    this.target = openProcess(this.running.pid);
    this.#code = codeHashes(this.running.pid);
  }

  get(variable: 'loads' | 'wrong' | 'busy'): bigint {
    return readVariable(this.target, 'plugins', variable);
  }

  /** 1 begins, 0 ends. */
  go(value: number): void {
    writeVariable(this.target, 'plugins', 'go', BigInt(value));
  }

  /** Loads and unloads until `count` were loaded, while links of `object` follow. */
  async load(count: bigint, object: BpfObject): Promise<void> {
    const wanted = this.get('loads') + count;
    const isDone = (): boolean => {
      if (this.get('loads') >= wanted) this.go(0);
      return this.get('loads') >= wanted && this.get('busy') === 0n;
    };
    await follow(object, isDone, () => this.go(1));
  }

  /** Waits until it has loaded once more than now. */
  awaitProgress(): void {
    const before = this.get('loads');
    waitUntil('it goes on loading', () => this.get('loads') > before, 30_000);
  }

  /** Executable mappings of the beginning that are not as they were. */
  changedCode(): string[] {
    const now = codeHashes(this.running.pid);
    return Object.keys(this.#code).filter((key) => now[key] !== this.#code[key]);
  }

  [Symbol.dispose](): void {
    this.target[Symbol.dispose]();
    this.running.stop();
  }
}
