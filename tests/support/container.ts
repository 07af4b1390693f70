/** A root for targets that are contained: a program, the libraries it needs, and nothing else. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { OddTarget } from './odd-target.ts';
import { childOf, compileTarget } from './targets.ts';

/** Where the program lies in its root: outside there is no such folder. */
export const INSIDE = '/remora-inside';

export class ContainerRoot implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'remora-root-'));

  constructor() {
    chmodSync(this.path, 0o755);
    const program = compileTarget('odd');
    this.#copy(program, `${INSIDE}/odd`);
    const needed = spawnSync('ldd', [program], { encoding: 'utf8' }).stdout;
    for (const [, library] of needed.matchAll(/(\/\S+) \(0x/g)) this.#copy(library!, library!);
  }

  /** Starts its program in namespaces of `letters` (see contained.c) with this root. */
  start(letters: string, args: readonly string[] = ['plain']): OddTarget {
    const command = [compileTarget('contained'), letters === '' ? '-' : letters, this.path, `${INSIDE}/odd`];
    return new OddTarget(args, { command, pidOf: childOf });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #copy(from: string, to: string): void {
    const path = join(this.path, to);
    mkdirSync(dirname(path), { recursive: true });
    copyFileSync(from, path);
  }
}
