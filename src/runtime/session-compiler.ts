/**
 * Compiles an object's programs for one target: what it is told of the target and of the shared memory, and what stands in front
 * of each program. Once for each place: a probe that goes and comes back finds its code.
 */
import { Reg } from '../arch/x64/registers.ts';
import type { Features } from '../arch/x64/selection.ts';
import { compileProgram, type LoweredProgram } from '../compile/compile.ts';
import type { ContextModel } from '../compile/context-model.ts';
import type { TailCallOptions } from '../compile/tail-callees.ts';
import type { FakedTasks } from '../helpers/faked-task.ts';
import type { EmitMap, TargetFacts } from '../helpers/helper.ts';
import { PERMISSIONS, type Permission, type Requirement } from '../helpers/prototype.ts';
import { HELPERS } from '../helpers/table.ts';
import type { Injection } from '../inject/injection.ts';
import { lastingMemory } from '../process/lasting-memory.ts';
import type { SampleThread } from '../process/thread-pointer.ts';
import { tickNanoseconds } from '../sys/clock.ts';
import { readCgroupId, readNamespace } from '../sys/process-view.ts';
import { processorFlags } from '../sys/processor.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { emitHit, type HitCounterPlace } from './hit-counters.ts';
import type { Range, SessionLayout } from './layout.ts';
import { emitLeaseTest } from './lease.ts';
import { findClockGettime, readThreadFacts } from './target-facts.ts';
import { emitTakeSlot, type ThreadSlotsPlace } from './thread-slots.ts';

/** What programs of a session have around them. */
export interface ProgramSurroundings {
  readonly layout: SessionLayout;
  /** Of the layout, in the target. */
  readonly address: bigint;
  /** A thread of the target. */
  readonly thread: SampleThread;
  readonly maps: ReadonlyMap<string, EmitMap>;
  readonly tasks: FakedTasks | undefined;
  readonly allowed: ReadonlySet<Permission>;
  readonly tailCalls: TailCallOptions;
}

/** Whose run it is. */
export interface ProgramEvent {
  readonly attachType: number;
  readonly cookie: bigint;
  /** Which of the session's counters counts it. */
  readonly counter: number;
}

export class SessionCompiler {
  /** What generated code may use of the processor. */
  readonly features: Features = { rdpid: processorFlags().has('rdpid') };
  /** True if threads can be told apart by their thread pointer. */
  readonly knowsThreads: boolean;
  readonly #leaseCell: bigint;
  readonly #facts: TargetFacts;
  readonly #forbidden: ReadonlySet<Requirement>;
  readonly #maps: ReadonlyMap<string, EmitMap>;
  readonly #hits: HitCounterPlace;
  readonly #slots: ThreadSlotsPlace;
  readonly #missed: bigint;
  readonly #tailCalls: TailCallOptions;
  readonly #compiled = new Map<string, LoweredProgram>();

  constructor(injection: Injection, { layout, address, thread, maps, tasks, allowed, tailCalls }: ProgramSurroundings) {
    const { process, privateCells, leaseCell } = injection;
    const { threadPointers, tidOffset } = readThreadFacts(process, thread);
    const at = ({ offset }: Range): bigint => address + BigInt(offset);
    const isFiltered = process.facts.seccomp !== 'none';
    this.knowsThreads = threadPointers;
    this.#leaseCell = leaseCell;
    this.#maps = maps;
    this.#tailCalls = tailCalls;
    this.#facts = {
      clockGettime: findClockGettime(process),
      pidCell: privateCells.pid,
      tidOffset,
      tickNs: tickNanoseconds(),
      lasting: lastingMemory(process),
      printkRing: at(layout.printkRing),
      randomState: at(layout.randomState),
      wakesConsumers: !isFiltered,
      outside: { cgroupId: readCgroupId(process.pid), pidNamespace: readNamespace(process.pid, 'pid') },
      ...(tasks !== undefined && { tasks }),
    };
    this.#forbidden = new Set<Requirement>([
      ...PERMISSIONS.filter((permission) => !allowed.has(permission)),
      ...(isFiltered ? (['syscall'] as const) : []),
    ]);
    const { processNumber: processCell } = privateCells;
    const numbers = { processCounter: at(layout.processCounter), processCell, threadPointers };
    this.#hits = { address: at(layout.hits), ...numbers };
    this.#slots = { address: at(layout.threadSlots), ...numbers };
    this.#missed = at(layout.missed);
  }

  /** Where it is counted that a program should have run and did not. */
  missedCell(counter: number): bigint {
    return this.#missed + BigInt(8 * counter);
  }

  /** @throws {CompileError} if the program wants what the target does not have, or what is not allowed */
  compile(
    program: VerifiedProgram,
    model: ContextModel,
    near: bigint,
    { attachType, cookie, counter }: ProgramEvent,
  ): LoweredProgram {
    const key = `${program.name} ${attachType} ${model.variant} ${near} ${cookie} ${counter}`;
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const compiled = compileProgram(program, model, {
      nearAddress: near,
      features: this.features,
      preferred: model.free ?? [],
      result: model.bypass === undefined ? undefined : Reg.RAX,
      helpers: HELPERS,
      maps: this.#maps,
      facts: this.#facts,
      attachCookie: cookie,
      forbid: this.#forbidden,
      tailCalls: this.#tailCalls,
      begin: (b, slots) => {
        emitLeaseTest(b, this.#leaseCell);
        const slot = slots === 'one' ? emitTakeSlot(b, this.#slots, this.missedCell(counter)) : undefined;
        emitHit(b, this.#hits, counter);
        return slot === undefined ? {} : { slot: slot.number, end: slot.release };
      },
    });
    this.#compiled.set(key, compiled);
    return compiled;
  }
}
