/** A target that a test has opened: its counters by name, and what must be as before when we are gone. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { readAttachFacts } from '../../src/process/attach-facts.ts';
import type { Module } from '../../src/process/module.ts';
import { openProcess, type TargetProcess } from '../../src/process/target-process.ts';
import { compileTarget, type RunningTarget, startTarget } from './targets.ts';

/** Why tests that trace processes cannot run here, false if they can. In CI they must. */
export const CANNOT_TRACE: string | false = cannotTrace();

function cannotTrace(): string | false {
  if (process.env.CI === 'true') return false;
  const { hasPtraceCapability, ptraceScope } = readAttachFacts(process.pid);
  if (hasPtraceCapability || (ptraceScope ?? 0) === 0) return false;
  return `kernel.yama.ptrace_scope is ${ptraceScope} and CAP_SYS_PTRACE is missing`;
}

/** A running program of tests/targets, opened. Dispose of it to end both. */
export class EnteredTarget implements Disposable {
  readonly target: RunningTarget;
  readonly process: TargetProcess;
  readonly module: Module;

  constructor(name: string, args: readonly string[] = [], flags: readonly string[] = []) {
    const path = compileTarget(name, flags);
    this.target = startTarget(path, args);
    this.process = openProcess(this.target.pid);
    this.module = this.process.findModule(path);
  }

  get pid(): number {
    return this.target.pid;
  }

  /** Address of a function or variable. */
  address(symbol: string): bigint {
    const found = this.module.elf.findSymbol(symbol);
    if (found === undefined) throw new Error(`${this.module.name} has no ${symbol}`);
    return this.module.bias + found.value;
  }

  /** A u64 variable of the program. */
  counter(symbol: string): bigint {
    return readCounter(this.process, this.address(symbol));
  }

  /** Sets an int variable of the program. */
  set(symbol: string, value: number): void {
    this.process.memory.write(this.address(symbol), new Uint8Array(Int32Array.of(value).buffer));
  }

  [Symbol.dispose](): void {
    this.process[Symbol.dispose]();
    this.target[Symbol.dispose]();
  }
}

export function readCounter(process: TargetProcess, address: bigint): bigint {
  return new DataView(process.memory.read(address, 8).buffer).getBigUint64(0, true);
}

/** What a process has; `status` are lines. */
export interface Footprint {
  readonly mappings: readonly string[];
  readonly code: string;
  readonly descriptors: readonly string[];
  readonly status: readonly string[];
}

/** What detaching must leave as it was: mappings, code, descriptors, signal handling, tracing. */
export function footprint(target: TargetProcess): Footprint {
  const mappings = target.mappings();
  const code = createHash('sha256');
  for (const { start, end } of mappings.filter((m) => m.permissions[2] === 'x' && m.path !== '[vsyscall]')) {
    code.update(target.memory.read(start, Number(end - start)));
  }
  const status = readFileSync(`/proc/${target.pid}/status`, 'latin1');
  return {
    mappings: mappings.map((m) => `${m.start.toString(16)}-${m.end.toString(16)} ${m.permissions} ${m.path}`),
    code: code.digest('hex'),
    descriptors: readdirSync(`/proc/${target.pid}/fd`),
    status: status.split('\n').filter((line) => /^(TracerPid|Sig(Blk|Ign|Cgt)|Seccomp):/.test(line)),
  };
}
