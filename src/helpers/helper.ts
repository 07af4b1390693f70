/**
 * The helper table's row type. A row is everything the project knows about one helper: the verifier reads `args` and
 * `returns`, the interpreter `run`, the compiler `emit`.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import type { HostMap, MapSpec } from '../maps/map-type.ts';
import type { FakedTasks } from './faked-task.ts';
import type { Prototype } from './prototype.ts';

/** An eBPF address space as the interpreter sees it: every access is checked. */
export interface InterpreterMemory {
  /** A view of `size` bytes at `address`, to read or write. @throws {VmError} VM_BAD_ACCESS */
  view(address: bigint, size: number): Uint8Array;
}

/** What a helper may touch when the interpreter runs it; tests give a fake one. */
export interface HelperWorld {
  readonly memory: InterpreterMemory;
  /** A clock of clock_gettime(2), in nanoseconds. */
  nowNs(clock: number): bigint;
  /** Nanoseconds of a tick of the kernel. */
  readonly tickNs: bigint;
  random32(): number;
  readonly pidTgid: bigint;
  /** Group id << 32 | user id. */
  readonly uidGid: bigint;
  readonly comm: string;
  readonly cpu: number;
  readonly functionIp: bigint;
  readonly attachCookie: bigint;
  /** The address bpf_map_lookup_elem gives, 0n if the key is absent. `map` is the handle that lddw loaded; `slot` is 0 if not given. */
  mapLookup(map: bigint, key: Uint8Array, slot?: number): bigint;
  /** Visits every element, until a visit says so; gets addresses. @returns how many it visited */
  mapEach(map: bigint, visit: (key: bigint, value: bigint) => 'go on' | 'stop'): number;
  /** The size of a map's keys and values in bytes, and how many it holds. @throws {VmError} VM_BAD_MAP */
  mapSizes(map: bigint): { readonly keySize: number; readonly valueSize: number; readonly maxEntries: number };
  mapUpdate(map: bigint, key: Uint8Array, value: Uint8Array, flags: bigint): number;
  mapDelete(map: bigint, key: Uint8Array): number;
  /** The host's side of a map. Not for maps whose lookups give addresses. @throws {VmError} VM_BAD_MAP */
  mapHost(map: bigint): HostMap;
  /** Has the program at that place of a map go on when the helper is done, if there is one and the run may still. */
  tailCall(map: bigint, index: number): void;
  /** Gets what bpf_trace_printk printed, formatted. */
  print(text: string): void;
  /** Has these bytes at an address while `body` runs. */
  withBytes<T>(bytes: Uint8Array, body: (address: bigint) => T): T;
  /** Runs a function of the program, given by what lddw loaded. @returns its r0 */
  callBack(fn: bigint, args: readonly bigint[]): bigint;
}

/** A map as emitted code sees it. */
export interface EmitMap {
  readonly spec: MapSpec;
  /** Address of the map's memory in the target. */
  readonly address: bigint;
}

/** Facts about the target process and the machine that emitted code is specialised to. Addresses are the target's. */
export interface TargetFacts {
  /** `__vdso_clock_gettime`, undefined if the process has no vDSO. */
  readonly clockGettime: bigint | undefined;
  /**
   * A u32 in memory private to the process and wiped in fork children: the process id once emitted code has asked the
   * kernel for it, 0 before.
   */
  readonly pidCell: bigint;
  /** Offset from fs of the thread's id (u32), where it was checked for every thread; undefined if unknown. */
  readonly tidOffset: number | undefined;
  /** Nanoseconds of a tick of the kernel, by which its coarse clocks go on. */
  readonly tickNs: bigint;
  /** Where bpf_trace_printk records go: see printk.ts. */
  readonly printkRing: bigint;
  /** A u64 in shared memory that bpf_get_prandom_u32 steps. */
  readonly randomState: bigint;
  /** False under a seccomp filter: whoever waits for records looks by itself then. */
  readonly wakesConsumers: boolean;
  /** Memory of the process that can be read as long as it runs its program, in ascending order: a few places. None if not given. */
  readonly lasting?: readonly { readonly start: bigint; readonly end: bigint }[];
  /** Images of task_struct; undefined where no program asks for one. */
  readonly tasks?: FakedTasks;
  /** What the controller found out about the process when it came; undefined where code is made for none. */
  readonly outside?: OutsideFacts;
}

/** What a process is told by the kernel from outside only. */
export interface OutsideFacts {
  /** Of the control group (version 2) that the process was in; 0 if it is not known. */
  readonly cgroupId: bigint;
  /** What stat(2) says of the pid namespace that its threads are numbered in; undefined if it is not known. */
  readonly pidNamespace: { readonly device: bigint; readonly inode: bigint } | undefined;
}

/** What a program can learn and decide about the call it was attached to. Offsets count from its context. */
export interface CallModel {
  /** Of the arguments that registers hold, in order; undefined where they are gone. */
  readonly arguments: readonly number[] | undefined;
  /** Of what the function returned; undefined before it did. */
  readonly result: number | undefined;
  /** Of two words: 1 once a value to return was set, and that value; undefined if the function cannot be bypassed. */
  readonly outcome: number | undefined;
  /** Of struct pt_regs; undefined if the context has none. */
  readonly registers: number | undefined;
  /** Of the words that a walk of the stack begins with; undefined where nobody knows them. */
  readonly frame: FrameModel | undefined;
}

/** Where the instruction, stack and frame pointers of the site are in the context. */
export interface FrameModel {
  readonly ip: number;
  readonly sp: number;
  readonly bp: number;
  /** True where a call has just arrived: the stack pointer points to where it returns to. */
  readonly isAtEntry: boolean;
}

/** What an emitter may ask of its surroundings. */
export interface EmitContext {
  /** @throws {HelperError} HELPER_NOT_A_MAP if `map` is not a constant that lddw loaded */
  map(map: Value): EmitMap;
  readonly facts: TargetFacts;
  /** bpf_get_func_ip of this site. */
  functionIp(b: Builder): Value;
  readonly call: CallModel;
  /** What the host has put at an address in a map that nobody may write, up to the map's end. @throws {HelperError} HELPER_NOT_CONSTANT */
  constantAt(address: Value): Uint8Array;
  /** The program's context, for helpers that do not get it. @throws {HelperError} HELPER_NO_CONTEXT */
  contextIn(fn: IrFunction): Value;
  readonly attachCookie: bigint;
  /** An out-of-line function, made once per compiled program and name. */
  shared(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction;
  /** The number of the slot of per-CPU maps that this run has to itself. */
  slot(b: Builder): Value;
  /**
   * Writes a call of a function of the program and gives what it returns.
   *
   * @throws {HelperError} HELPER_NOT_A_FUNCTION if `fn` is not a constant that lddw loaded
   */
  callBack(b: Builder, fn: Value, args: readonly Value[]): Value;
  /** Ends the function that calls the helper, and has a program go on, unless the run has had its tail calls. @param number of the program */
  goOnIn(b: Builder, number: Value): void;
}

export interface Helper extends Prototype {
  /** The kernel's number (`enum bpf_func_id`), so that clang's output calls the right one; of a kernel function see insn/kernel-functions.ts. */
  readonly id: number;
  /** It wants what belongs to a run alone: the number of a slot. */
  readonly needsSlot?: true;
  /** Interpreter: r1-r5 in, r0 out, each an unsigned 64-bit bigint. Errors are negative errnos, wrapped. */
  run(world: HelperWorld, args: readonly bigint[]): bigint;
  /** Compiler: writes the helper where it is called; r1-r5 in, r0 out. */
  emit(b: Builder, args: readonly Value[], context: EmitContext): Value;
}
