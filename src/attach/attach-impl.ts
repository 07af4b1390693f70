/**
 * What every way of attaching must provide. The runtime knows only this file; it never learns how a function is patched
 * or a system call rewritten. After bpftime's base_attach_impl and attach_private_data.
 */
import type { Btf } from '../btf/btf.ts';
import type { AnyStruct } from '../bytes/struct.ts';
import type { LoweredProgram } from '../compile/compile.ts';
import type { ContextModel } from '../compile/context-model.ts';
import type { BpfError } from '../errors.ts';
import type { Helper } from '../helpers/helper.ts';
import type { Permission } from '../helpers/prototype.ts';
import type { MapSpec } from '../maps/map-type.ts';

/** One attach type: all that the loader, the verifier and the command line need to know about it. */
export interface AttachKind {
  /** The number stored in a perf event handler; bpftime's numbers, so that stored sessions agree. */
  readonly type: number;
  /** What listings call it: 'uprobe'. */
  readonly name: string;
  /** ELF section prefixes, as in `SEC("uprobe/libc.so.6:malloc")`. */
  readonly sections: readonly string[];
  /** What r1 points to when the program starts. The verifier lets it read these bytes, no others. */
  readonly context: AnyStruct;
  /** Helpers that only programs of this kind may call. */
  readonly helpers: readonly Helper[];
  /** What the user must have allowed for programs of this kind; nothing if not given. */
  readonly requires?: readonly Permission[];
}

/** The attach-specific half of a perf event: where to attach, in the implementation's own terms. */
export interface PrivateData {
  /** The text `parsePrivateData` accepts; it is what lies in shared memory and what the command line prints. */
  toString(): string;
}

/** A map of a program's object. */
export interface CallbackMap {
  readonly spec: MapSpec;
  /** The object's types, `spec` names those of its keys and values. */
  readonly btf: Btf | undefined;
  /** @returns 0 or a negative errno */
  update(key: Uint8Array, value: Uint8Array): number;
}

/** A verified program that waits to learn where it will run. */
export interface EbpfCallback {
  readonly name: string;
  /** The cookie given with the attach. */
  readonly cookie: bigint;
  /** Address of a u64 in the target: to be stepped, by a locked add, whenever the program should have run and did not. */
  readonly missedCell: bigint;
  /** What the user has allowed its programs to do. */
  readonly allowed: ReadonlySet<Permission>;
  /**
   * Compiles the program for one site.
   *
   * @param near an address within 2 GB of where the code will lie
   * @param cookie what bpf_get_attach_cookie gives there; `cookie` if not given
   * @throws {CompileError} COMPILE_* if the program cannot be compiled for this context
   */
  compile(model: ContextModel, near: bigint, cookie?: bigint): LoweredProgram;
  /** A map of the program's object, for kinds whose programs look something up there; undefined if it has no such map. */
  map(name: string): CallbackMap | undefined;
}

/** The method of an attachment that waits for what it is to be attached to. */
export const PENDING = 'pending';

/** One live attachment. Detaching twice is a no-op: teardown paths overlap. What it says may change when libraries come and go. */
export interface AttachEntry {
  /** What the program is attached to, as listings show it: 'libc.so.6:malloc'. */
  readonly target: string;
  /** Where in the target the program is reached. */
  readonly address: bigint;
  /** All places, of an attachment that has several; `address` is the first. */
  readonly addresses?: readonly bigint[];
  /** Of an attachment to every place of a kind: how many there are beside that the program is not reached from. */
  readonly unreached?: number | undefined;
  /** How: 'jump', or whatever the implementation calls its ways; PENDING while it is not, and its address is 0 then. */
  readonly method: string;
  /** How many regions of code there are that nobody can look into, and that it should see: 0 if not given. */
  readonly codeWithoutFile?: number;
  /** Why it is not attached to what is there. */
  readonly problem?: BpfError | undefined;
  detach(): void;
}

export interface AttachImpl<P extends PrivateData> {
  readonly kinds: readonly AttachKind[];
  /** @throws {AttachError} ATTACH_BAD_TARGET if `text` names no place this implementation can attach to. */
  parsePrivateData(text: string): P;
  /**
   * Makes the program run whenever `at` is reached, until the entry is detached.
   *
   * @throws {AttachError} ATTACH_SITE_* and whatever the implementation documents; nothing is changed then
   */
  createAttach(kind: AttachKind, at: P, callback: EbpfCallback): AttachEntry;
}
