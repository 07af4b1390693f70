/**
 * The public API, by name, and the place where the house is put together: the built-in attach implementations are
 * registered here and nowhere else. Nothing here loads koffi or iced-x86 before it is needed.
 */
import { readFileSync } from 'node:fs';
import { SYSCALL_KINDS } from './attach/syscall/kinds.ts';
import { SyscallAttachImpl } from './attach/syscall/syscall.ts';
import { UPROBE_KINDS } from './attach/uprobe/kinds.ts';
import { LibraryProbes } from './attach/uprobe/libraries.ts';
import { LinkerGate } from './attach/uprobe/load-gate.ts';
import { releaseReturns } from './attach/uprobe/return-stack.ts';
import { UprobeSites } from './attach/uprobe/sites.ts';
import { UprobeAttachImpl } from './attach/uprobe/uprobe.ts';
import { USDT, UsdtAttachImpl } from './attach/uprobe/usdt.ts';
import type { Permission } from './helpers/prototype.ts';
import { type Inheritance, Injection } from './inject/injection.ts';
import type { TakenOff } from './inject/take-off.ts';
import type { Autoload } from './object/autoload.ts';
import type { ObjectSpec } from './object/spec.ts';
import { BpfObject } from './runtime/bpf-object.ts';
import { type Fault, faultObject } from './runtime/fault-programs.ts';
import { type SessionState, takeOffCopies, takeOffSessions } from './runtime/process-sessions.ts';
import type { AttachSetup } from './runtime/session.ts';
import type { VariableValue } from './runtime/set-variables.ts';

export interface OpenObjectOptions {
  /** Registers attach implementations of your own, beside the built-in ones. */
  readonly setup?: AttachSetup;
  /** What programs may do that is refused by default: `override` changes what functions of the target get and return. */
  readonly allow?: readonly Permission[];
  /**
   * Programs that are to be loaded, or not, by name. Without that all are but those whose section begins with `?` and those of types
   * that only the kernel has; what `attachAll` passes over is in `leftOut`.
   */
  readonly autoload?: Autoload;
  /** What programs do once this process has died; they go quiet if not given. */
  readonly whenWeDie?: Inheritance;
  /** What global variables hold, by name, in place of what the object says: what its own tool sets before it loads it. */
  readonly variables?: ReadonlyMap<string, VariableValue>;
  /** How many entries maps get, by name, in place of what the object says. */
  readonly maxEntries?: ReadonlyMap<string, number>;
  /** How many maps may be made for maps of maps while programs run, by the name of these: see `BpfObject.makeInnerMap`. */
  readonly innerMaps?: ReadonlyMap<string, number>;
  /**
   * A directory in which maps that ask for it (LIBBPF_PIN_BY_NAME) are kept: they begin with what is there, and are written when the
   * object is disposed of. Without it they are like all others.
   */
  readonly pinDirectory?: string;
}

/**
 * Opens an eBPF object: parsed, linked and checked, no process touched yet.
 *
 * @param file a path, or the file's bytes
 * @throws {ElfError | BtfError | ObjectError | MapError | VerifierError | RuntimeError}
 */
export function openObject(file: string | Uint8Array, options: OpenObjectOptions = {}): BpfObject {
  return open(typeof file === 'string' ? readFileSync(file) : file, options);
}

/**
 * Opens programs that make calls fail, one for each fault, in their order. `faultCounts` reads what they count.
 *
 * @param seed of faults by chance: the same one makes the same calls fail
 */
export function openFaults(faults: readonly Fault[], seed: bigint): BpfObject {
  return open(faultObject(faults, seed), { allow: ['override'] });
}

function open(
  source: Uint8Array | ObjectSpec,
  { setup, allow = [], autoload = {}, whenWeDie, ...maps }: OpenObjectOptions,
): BpfObject {
  return new BpfObject(source, {
    ...maps,
    inject: (process) => new Injection(process, whenWeDie),
    allow,
    autoload,
    setup(context, injection) {
      const sites = new UprobeSites(injection);
      const gate = new LinkerGate(injection, sites);
      const libraries = new LibraryProbes(injection, gate);
      context.register(new UprobeAttachImpl(injection, sites, libraries));
      context.register(new UsdtAttachImpl(injection.process, sites, libraries));
      context.follow(libraries, gate);
      const syscalls = new SyscallAttachImpl(injection);
      context.register(syscalls);
      context.follow(syscalls);
      setup?.(context, injection);
    },
  });
}

/** The names of the built-in attach kinds, by the number that sessions store. */
export const ATTACH_KIND_NAMES: ReadonlyMap<number, string> = new Map(
  [...UPROBE_KINDS, USDT, ...SYSCALL_KINDS].map(({ type, name }) => [type, name]),
);

/**
 * Takes sessions of a process off, whoever began them: its code is put back, and memory that nobody needs is unmapped.
 *
 * @param isMeant says of each session whether it is to go
 * @returns what became of each, by id
 * @throws {ProcessError | InjectError}
 */
export function detachSessions(
  pid: number,
  isMeant: (session: { readonly id: string; readonly state: SessionState }) => boolean,
): ReadonlyMap<string, TakenOff> {
  return takeOffSessions(pid, isMeant, releaseReturns);
}

/**
 * Takes off what children have that were forked from the targets of an object, after the object was disposed of.
 *
 * @param ids its `sessionIds`
 * @returns what became of it, by process
 */
export function detachCopies(ids: ReadonlySet<string>): ReadonlyMap<number, readonly TakenOff[]> {
  return takeOffCopies(ids, releaseReturns);
}

export { disassemble as disassembleX64 } from './arch/x64/disassemble.ts';
export { PtRegs, ptRegsAtEntry } from './arch/x64/pt-regs.ts';
export { emitTrampoline, type Trampoline, type TrampolinePlace } from './arch/x64/trampoline.ts';
export {
  type AttachEntry,
  type AttachImpl,
  type AttachKind,
  type EbpfCallback,
  PENDING,
  type PrivateData,
} from './attach/attach-impl.ts';
export { AttachError } from './attach/errors.ts';
export { errorNumber } from './attach/syscall/error-numbers.ts';
export { NEVER_RETURN } from './attach/syscall/kinds.ts';
export { type ListedSyscall, listSyscalls, type SyscallCoverage, syscallCoverage } from './attach/syscall/list.ts';
export { type SyscallPlace, syscallPlaces } from './attach/syscall/module-calls.ts';
export { syscallName, syscallSet } from './attach/syscall/name-sets.ts';
export { explainUprobe, type UprobeExplanation } from './attach/uprobe/explain.ts';
export { type ListedUprobe, listUprobes, listUprobesOf } from './attach/uprobe/list.ts';
export { type ListedUsdt, listUsdt, listUsdtOf, parseUsdtPattern } from './attach/uprobe/list-usdt.ts';
export { parseUprobePattern } from './attach/uprobe/private-data.ts';
export type { JsonValue } from './btf/decode-value.ts';
export type { ContextModel } from './compile/context-model.ts';
export { BpfError } from './errors.ts';
export type { Permission } from './helpers/prototype.ts';
export { HELPERS } from './helpers/table.ts';
export { type Inheritance, Injection } from './inject/injection.ts';
export type { SitePatch } from './inject/site-patch.ts';
export type { TakenOff } from './inject/take-off.ts';
export { decode } from './insn/decode.ts';
export { disassemble } from './insn/disassemble.ts';
export type { Insn } from './insn/insn.ts';
export type { RecordVisitor } from './maps/event-ring.ts';
export { mapTypeNumber } from './maps/kernel-types.ts';
export type { MapSpec } from './maps/map-type.ts';
export type { Autoload, LeftOutProgram } from './object/autoload.ts';
export { readObject, surveyObject } from './object/read-object.ts';
export type { LinkedProgram, ObjectSpec, ObjectSurvey, Reference, SourceLine, UnlinkedProgram } from './object/spec.ts';
export { type AttachFacts, readAttachFacts } from './process/attach-facts.ts';
export { findInstalledLibrary } from './process/installed-library.ts';
export { type SpawnedProcess, type SpawnOptions, spawnProcess } from './process/spawn.ts';
export { openProcess, type TargetProcess } from './process/target-process.ts';
export { AttachContext, type AttachContextOptions } from './runtime/attach-context.ts';
export { checkBareProgram, compileBare, interpretBare } from './runtime/bare-run.ts';
export type { BpfLink } from './runtime/bpf-link.ts';
export type { BpfMap, MapBytes, MapEntry } from './runtime/bpf-map.ts';
export type { AttachReport, BpfObject } from './runtime/bpf-object.ts';
export type { AttachOptions, BpfProgram } from './runtime/bpf-program.ts';
export { compileForListing } from './runtime/code-listing.ts';
export type { EventStream, EventStreamOptions } from './runtime/event-stream.ts';
export { type Fault, type FaultCounts, faultCounts } from './runtime/fault-programs.ts';
export type { FollowEvents, Follower } from './runtime/follower.ts';
export type { FoundLink, FoundSession } from './runtime/found-session.ts';
export { type Handler, HandlerTable } from './runtime/handlers.ts';
export type { Loads } from './runtime/loads.ts';
export type { UsualSize } from './runtime/map-sizes.ts';
export {
  type ListedSession,
  ProcessSessions,
  processesWithSessions,
  type SessionState,
} from './runtime/process-sessions.ts';
export type { AttachSetup } from './runtime/session.ts';
export type { VariableValue } from './runtime/set-variables.ts';
export type { UserRingBuffer, UserRingOptions, UserSample } from './runtime/user-ring-buffer.ts';
export {
  type BareMap,
  type ProgramVerdict,
  type VerdictOptions,
  verifyBare,
  verifyObject,
} from './runtime/verdicts.ts';
export type { ProcessEnd } from './sys/child-end.ts';
export { ExecutableMemory } from './sys/executable-memory.ts';
export { readKernel } from './sys/kernel.ts';
