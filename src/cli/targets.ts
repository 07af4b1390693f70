/** The processes that -p names, opened all or none. */
import { openProcess, type TargetProcess } from '../index.ts';

export class Targets implements Disposable {
  readonly all: readonly TargetProcess[];

  /** @throws {ProcessError} as `openProcess`; none is left open then */
  constructor(pids: readonly number[]) {
    const opened: TargetProcess[] = [];
    this.all = opened;
    try {
      for (const pid of new Set(pids)) opened.push(openProcess(pid));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const target of this.all) target[Symbol.dispose]();
  }
}
