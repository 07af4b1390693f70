/**
 * An object that lives in a process: its maps, handlers and counters in memory shared with the target, its programs
 * attached through whatever implementations were registered. The seed's runtime, for one target.
 */

import type { CallbackMap, EbpfCallback } from '../attach/attach-impl.ts';
import { AttachError } from '../attach/errors.ts';
import type { Btf } from '../btf/btf.ts';
import { cString } from '../bytes/c-string.ts';
import { viewOf } from '../bytes/struct.ts';
import { callsAny } from '../compile/program-calls.ts';
import type { TailCallOptions } from '../compile/tail-callees.ts';
import { BpfError } from '../errors.ts';
import { type FakedTasks, isTaskHelper } from '../helpers/faked-task.ts';
import type { EmitMap } from '../helpers/helper.ts';
import { formatPrintk } from '../helpers/printk-format.ts';
import { PrintkReader } from '../helpers/printk-ring.ts';
import type { Permission } from '../helpers/prototype.ts';
import { InjectError } from '../inject/errors.ts';
import type { Injection } from '../inject/injection.ts';
import { mapMemory } from '../maps/memory.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { ObjectSpec } from '../object/spec.ts';
import { hasThreadEnded } from '../process/ended-thread.ts';
import { readKernel } from '../sys/kernel.ts';
import type { SharedPart } from '../sys/shared-mapping.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { AttachContext, type LiveEntry } from './attach-context.ts';
import type { ExecGate } from './exec-gate.ts';
import { openExecGate } from './exec-gate-probes.ts';
import { HandlerTable, type PerfEventHandler, type Slot } from './handlers.ts';
import { readHits } from './hit-counters.ts';
import { layoutOf, type Range, type SessionLayout } from './layout.ts';
import { type Counts, LinkCounters } from './link-counters.ts';
import { memoryName } from './memory-files.ts';
import { SessionCompiler } from './session-compiler.ts';
import { TaskArea } from './task-area.ts';
import { slotsInUse } from './thread-slots.ts';

/** What a %s may print at most, in bytes. */
const LONGEST_STRING = 512;

/** Registers attach implementations for one target: called once per session. */
export type AttachSetup = (context: AttachContext, injection: Injection) => void;

/** What a session is made of. */
export interface SessionOptions {
  readonly spec: ObjectSpec;
  readonly programs: readonly VerifiedProgram[];
  readonly setup: AttachSetup;
  /** What programs may do that is refused by default. */
  readonly allowed: ReadonlySet<Permission>;
  /** A number for the next attachment. */
  readonly nextId: () => number;
  /** The memory that all processes of the object share; undefined for the first. */
  readonly common: SharedPart | undefined;
  /** Which programs may go on in place of which. */
  readonly tailCalls: TailCallOptions;
}

/** One program at one place. */
export interface AttachRequest {
  readonly program: string;
  /** A section prefix of an attach kind: 'uprobe'. */
  readonly prefix: string;
  /** The rest: what the kind's implementation reads. */
  readonly place: string;
  /** What bpf_get_attach_cookie gives. */
  readonly cookie: bigint;
}

export class Session implements Disposable {
  readonly injection: Injection;
  readonly context: AttachContext;
  /** What the object's other processes share with this one: the object's to dispose of. */
  readonly common: SharedPart;
  readonly #layout: SessionLayout;
  readonly #common: Uint8Array;
  readonly #address: bigint;
  readonly #memoryName: string;
  #execGate: ExecGate | undefined;
  readonly #table: HandlerTable;
  readonly #printk: PrintkReader;
  readonly #compiler: SessionCompiler;
  readonly #maps: ReadonlyMap<string, EmitMap>;
  readonly #btf: Btf | undefined;
  readonly #perfEvents = new Map<string, Slot>();
  readonly #programSlots = new Map<string, Slot>();
  readonly #programs = new Map<Slot, VerifiedProgram>();
  readonly #counters = new LinkCounters((index) => this.#read(index));
  readonly #allowed: ReadonlySet<Permission>;

  /**
   * Lays an object's maps and handlers into the target.
   *
   * @throws {ProcessError | InjectError | SysError} if the target cannot be entered; nothing is left there then
   */
  constructor(injection: Injection, { spec, programs, setup, allowed, nextId, common, tailCalls }: SessionOptions) {
    this.injection = injection;
    this.#allowed = allowed;
    this.#btf = spec.btf;
    const tasks = programs.some(({ insns }) => callsAny(insns, isTaskHelper)) ? new TaskArea(readKernel()) : undefined;
    this.#layout = layoutOf(spec, tasks?.size ?? 0);
    const { table, randomState, printkRing, hits, missed, btf, maps, slots } = this.#layout;
    const { address, thread } = injection.share(this.#layout.size, common ?? this.#layout.common);
    this.#address = address;
    this.#memoryName = memoryName(injection.memoryFile.inode, injection.memoryFile.address);
    this.#table = HandlerTable.create(this.#memory(table), slots, {
      hits: hits.offset,
      missed: missed.offset,
      btf: btf.offset,
      btfSize: btf.size,
    });
    if (spec.btfBytes !== undefined) this.#memory(btf).set(spec.btfBytes);
    this.#printk = new PrintkReader(mapMemory(this.#memory(printkRing)));
    crypto.getRandomValues(this.#memory(randomState));
    this.#maps = new Map(
      spec.maps.map((map) => [map.name, { spec: map, address: address + BigInt(maps.get(map.name)!.offset) }]),
    );
    this.#compiler = new SessionCompiler(injection, {
      layout: this.#layout,
      address,
      thread,
      maps: this.#maps,
      tasks: tasks && this.#fillTasks(tasks, address),
      allowed,
      tailCalls,
    });
    for (const map of spec.maps) {
      const { name, type, keySize, valueSize, maxEntries, flags, keyTypeId, valueTypeId } = map;
      const numbers = { type, keySize, valueSize, maxEntries, flags, keyTypeId, valueTypeId };
      this.#table.add({ kind: 'map', name, ...numbers, ...maps.get(name)! });
    }
    for (const program of programs) {
      const { name, section, insns } = program;
      const slot = this.#table.add({ kind: 'program', name, section, insnCount: insns.length });
      this.#programSlots.set(name, slot);
      this.#programs.set(slot, program);
    }
    this.context = new AttachContext({
      table: this.#table,
      nextId,
      callbackOf: (slot, event, entryId) => this.#callback(slot, event, entryId),
      batch: (body) => injection.batch(body),
    });
    setup(this.context, injection);
    // Last: until here it goes with the injection if anything fails.
    this.common = common ?? injection.takeCommon();
    this.#common = new Uint8Array(this.common.buffer);
  }

  /** The shared memory of one map. */
  mapMemory(name: string): Uint8Array {
    return this.#commonMemory(this.#layout.maps.get(name)!);
  }

  /** How many slots of per-CPU maps were given out. */
  get slotsInUse(): number {
    return slotsInUse(this.#commonMemory(this.#layout.threadSlots));
  }

  /**
   * Attaches programs, all or none, in one stop of the target.
   *
   * @throws {AttachError} ATTACH_NO_IMPL if nothing serves a prefix, and whatever the implementations throw
   */
  attach(requests: readonly AttachRequest[]): readonly LiveEntry[] {
    const slots = requests.map((request) => this.#addLink(request));
    try {
      const ids = new Set(amongOthers(() => this.context.instantiate(slots)));
      const entries = this.context.entries.filter(({ id }) => ids.has(id));
      for (const { id, link } of entries) {
        const { index, before } = this.#counters.of(id);
        this.#table.setCounter(link, { counter: index, hitsBefore: before.hits, missedBefore: before.missed });
      }
      return entries;
    } catch (error) {
      for (const slot of slots) this.#table.remove(slot);
      throw error;
    } finally {
      this.#counters.keepOnly(new Set(this.context.entries.map(({ id }) => id)));
    }
  }

  /**
   * Has attachments follow libraries that came and went, and lets the threads go that wait for that.
   *
   * @returns those that are not where they were
   */
  update(): readonly LiveEntry[] {
    const { gate } = this.context;
    const { process } = this.injection;
    const requests = gate?.requests ?? 0;
    try {
      return this.isClosed || process.isGone() ? [] : this.context.update();
    } catch (error) {
      if (process.isGone()) return [];
      throw error;
    } finally {
      gate?.answer(requests);
    }
  }

  /** Takes attachments off, in one stop; ids that are not live are passed over. */
  detach(ids: readonly number[]): void {
    const wanted = new Set(ids);
    const live = this.context.entries.filter(({ id }) => wanted.has(id));
    this.context.detach(ids, () => this.injection.process.isGone());
    for (const { link } of live) this.#table.remove(link);
    this.#counters.keepOnly(new Set(this.context.entries.map(({ id }) => id)));
  }

  /** How often the program of an attachment ran, or had run when it was detached. */
  hits(id: number): bigint {
    return this.#counters.counts(id).hits;
  }

  /** How often it should have run and did not. */
  missed(id: number): bigint {
    return this.#counters.counts(id).missed;
  }

  /**
   * From now on threads that replace their program wait until `execGate` is answered, or closed.
   *
   * @throws {AttachError} ATTACH_NO_SYSCALL_SITE if no place that makes the call can be reached
   * @throws {RuntimeError} RUNTIME_SECCOMP
   */
  openExecGate(): void {
    const range = this.#layout.execGate;
    const memory = {
      bytes: this.#memory(range),
      address: this.#address + BigInt(range.offset),
      wake: (at: number) => this.injection.wake(range.offset + at),
    };
    this.#execGate ??= openExecGate(this.context, this.injection, memory, this.#compiler.features);
  }

  /** What `openExecGate` has made. */
  get execGate(): ExecGate | undefined {
    return this.#execGate;
  }

  /** Tells the memory of this session from all others. */
  get memoryName(): string {
    return this.#memoryName;
  }

  /** What programs printed since the last call, a line each, formatted as the kernel does. */
  readPrintk(): string[] {
    const readString = (address: bigint): string | undefined => this.#readString(address);
    return this.#printk
      .drain(performance.now())
      .map(({ format, args }) => formatPrintk(format, args, readString))
      .filter((text) => text !== undefined);
  }

  /** Printed lines that will never be seen, so far. */
  get lostPrintk(): bigint {
    return this.#printk.lost;
  }

  /** Whether a thread that a record in shared memory names has ended, and will not finish it. */
  hasThreadEnded(tid: number): boolean {
    const processes = viewOf(this.#memory(this.#layout.processCounter)).getBigUint64(0, true);
    return hasThreadEnded(this.injection.process, tid, processes > 1n || !this.#compiler.knowsThreads);
  }

  /** True once another remora has taken the session off: nothing runs any more. */
  get isClosed(): boolean {
    return this.injection.isClosed;
  }

  /** Detaches everything, in one stop. */
  detachAll(): void {
    this.detach(this.context.entries.map(({ id }) => id));
  }

  /** Detaches everything and takes our memory out of the target, where no thread is in it any more. */
  [Symbol.dispose](): void {
    try {
      this.detachAll();
    } finally {
      // Where one place cannot be put back the others can.
      this.injection[Symbol.dispose]();
    }
  }

  #fillTasks(area: TaskArea, address: bigint): FakedTasks {
    const range = this.#layout.tasks;
    return area.fill(this.#memory(range), address + BigInt(range.offset), this.injection.process.pid);
  }

  #memory({ offset, size }: Range): Uint8Array {
    return this.injection.shared.subarray(offset, offset + size);
  }

  /** By its place among the whole. */
  #commonMemory({ offset, size }: Range): Uint8Array {
    const start = offset - this.#layout.common.offset;
    return this.#common.subarray(start, start + size);
  }

  #addLink({ program, prefix, place, cookie }: AttachRequest): Slot {
    const kind = this.context.kinds.find(({ sections }) => sections.includes(prefix));
    if (kind === undefined) {
      const known = this.context.kinds.flatMap(({ sections }) => sections).join(', ');
      throw new AttachError(
        'ATTACH_NO_IMPL',
        `cannot attach ${program}: nothing serves '${prefix}', there are ${known}`,
      );
    }
    const missing = kind.requires?.find((requirement) => !this.#allowed.has(requirement));
    if (missing !== undefined) {
      throw new AttachError('ATTACH_NOT_ALLOWED', `cannot attach ${program}: ${missing} was not allowed`, {
        why: `programs of kind '${kind.name}' change what the target does`,
        fix: `if that is meant to be: --allow ${missing}`,
      });
    }
    const perfEvent = this.#perfEvent(kind.type, place, cookie);
    const slot = this.#programSlots.get(program)!;
    const dormant = { entryId: 0, address: 0n, counter: 0, hitsBefore: 0n, missedBefore: 0n };
    return this.#table.add({ kind: 'link', program: slot, perfEvent, ...dormant });
  }

  /** The perf event of a place: stored once, since texts are never freed. */
  #perfEvent(attachType: number, privateData: string, cookie: bigint): Slot {
    const key = `${attachType} ${cookie} ${privateData}`;
    const known = this.#perfEvents.get(key);
    if (known !== undefined) return known;
    const slot = this.#table.add({ kind: 'perf event', attachType, privateData, cookie });
    this.#perfEvents.set(key, slot);
    return slot;
  }

  #callback(slot: Slot, event: PerfEventHandler, entryId: number): EbpfCallback {
    const program = this.#programs.get(slot)!;
    const counter = this.#counters.take(entryId);
    return {
      name: program.name,
      cookie: event.cookie,
      missedCell: this.#compiler.missedCell(counter),
      allowed: this.#allowed,
      compile: (model, near, cookie = event.cookie) =>
        this.#compiler.compile(program, model, near, { attachType: event.attachType, cookie, counter }),
      map: (name) => this.#callbackMap(name),
    };
  }

  #callbackMap(name: string): CallbackMap | undefined {
    const spec = this.#maps.get(name)?.spec;
    if (spec === undefined) return undefined;
    const host = mapTypeOf(spec).host(mapMemory(this.mapMemory(name)), spec);
    return { spec, btf: this.#btf, update: (key, value) => host.update(key, value, 0n) };
  }

  /** A string for %s, read when it is printed: it may have changed since. */
  #readString(address: bigint): string | undefined {
    try {
      return cString(this.injection.process.memory.readUpTo(address, LONGEST_STRING), 0);
    } catch (error) {
      if (error instanceof BpfError) return undefined;
      throw error;
    }
  }

  #read(index: number): Counts {
    const { hits, missed } = this.#layout;
    return {
      hits: readHits(this.#memory(hits), index),
      missed: viewOf(this.#memory(missed)).getBigUint64(8 * index, true),
    };
  }
}

/** How often a change is begun anew. */
const ATTEMPTS = 4;

/** Makes a change; anew where another controller has come to one of its places, or gone, since it was prepared. */
function amongOthers<T>(change: () => T): T {
  for (let attempt = 1; ; attempt++) {
    try {
      return change();
    } catch (error) {
      const isOutdated = error instanceof InjectError && error.code === 'INJECT_SITE_CHANGED';
      if (!isOutdated || attempt === ATTEMPTS) throw error;
    }
  }
}
