/**
 * Probes of libraries that come and go. One whose library is not loaded waits for it; one whose library is unloaded waits until it
 * comes back, wherever that is, and counts on. Libraries that stay as long as the process does need none of this.
 */
import { BpfError } from '../../errors.ts';
import type { Injection } from '../../inject/injection.ts';
import { type CodeOrigin, isSameOrigin, originAt } from '../../process/code-origin.ts';
import { ProcessError } from '../../process/errors.ts';
import { findLibraryFile } from '../../process/library-file.ts';
import type { Module } from '../../process/module.ts';
import { type AttachEntry, PENDING } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import type { LinkerGate } from './load-gate.ts';

/** A probe of a library that may come and go. */
export interface LibraryProbe {
  /** What the library is called. */
  readonly binary: string;
  /** What the probe is called until it is attached. */
  readonly target: string;
  /** @throws {BpfError} if the file of a library that is not loaded says that the probe cannot be attached */
  check(file: Module): void;
  /** @throws {BpfError} nothing is changed then */
  attach(module: Module): AttachEntry;
}

export class LibraryProbes {
  readonly #injection: Injection;
  readonly #gate: LinkerGate;
  readonly #entries = new Set<LibraryEntry>();

  /** @param injection in which the sites of what is probed are forgotten already when this is told */
  constructor(injection: Injection, gate: LinkerGate) {
    this.#injection = injection;
    this.#gate = gate;
    injection.onUnloaded((gone) => {
      for (const entry of this.#entries) entry.forgetIn(gone);
    });
  }

  /**
   * Attaches a probe to its library, now or when that is loaded.
   *
   * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND if there is no such file either
   * @throws {BpfError} what `check` and `attach` throw
   */
  attach(probe: LibraryProbe): AttachEntry {
    const { process } = this.#injection;
    this.#forgetUnloaded();
    const module = this.#find(probe);
    if (module !== undefined && process.isLasting(module)) return probe.attach(module);
    const entry = new LibraryEntry(this.#injection, probe);
    if (module !== undefined) entry.attachTo(module);
    this.#entries.add(entry);
    entry.onDetach = () => {
      this.#entries.delete(entry);
      this.#injection.onFailure(() => this.#entries.add(entry));
    };
    this.#injection.onFailure(() => this.#entries.delete(entry));
    this.#gate.install();
    return entry;
  }

  /** Looks what was loaded and unloaded since. */
  update(): void {
    if (this.#entries.size === 0) return;
    this.#forgetUnloaded();
    const { process } = this.#injection;
    const found: Found[] = [];
    for (const entry of this.#entries) {
      const module = entry.isAttached ? undefined : unlessNotFound(() => process.findModule(entry.probe.binary));
      if (module !== undefined && !entry.hasRefused(module)) found.push({ entry, module });
    }
    if (found.length === 0 || this.#attachAll(found) === undefined) return;
    // One of them is the reason: each by itself.
    for (const one of found) {
      const error = this.#attachAll([one]);
      if (error !== undefined) one.entry.refuse(one.module, error);
    }
  }

  /** In one stop, all or none; what stands against it. */
  #attachAll(found: readonly Found[]): BpfError | undefined {
    try {
      this.#injection.batch(() => {
        for (const { entry, module } of found) {
          requireSettled(module);
          entry.attachTo(module);
        }
      });
      return undefined;
    } catch (error) {
      if (error instanceof BpfError) return error;
      throw error;
    }
  }

  #forgetUnloaded(): void {
    if (this.#entries.size === 0) return;
    this.#injection.forgetUnloaded();
    const mappings = this.#injection.process.mappings();
    for (const entry of this.#entries) entry.forgetUnlessAt((address) => originAt(mappings, address));
  }

  /** Undefined if it is not loaded, but could be. */
  #find(probe: LibraryProbe): Module | undefined {
    const { process } = this.#injection;
    const module = unlessNotFound(() => process.findModule(probe.binary));
    if (module !== undefined) return module;
    const file = findLibraryFile(probe.binary, process.procId);
    // It says what there is instead.
    if (file === undefined) return process.findModule(probe.binary);
    probe.check(file);
    return undefined;
  }
}

/** Where a library lies. */
interface LibraryPlace {
  readonly start: bigint;
  readonly end: bigint;
  /** Of its first executable byte. */
  readonly code: bigint;
  readonly origin: CodeOrigin | undefined;
}

interface Loaded extends LibraryPlace {
  readonly entry: AttachEntry;
}

interface Found {
  readonly entry: LibraryEntry;
  readonly module: Module;
}

/** What stands in the way for a moment only; an indirect function is chosen a moment after its library was loaded. */
const PASSING: ReadonlySet<string> = new Set([
  'INJECT_SITE_BUSY',
  'INJECT_SITE_CHANGED',
  'INJECT_SITE_UNLOADED',
  'PROCESS_BUSY',
  'PROCESS_EXITED',
  'PROCESS_IFUNC_UNRESOLVED',
  'PROCESS_STOP_TIMEOUT',
  'PROCESS_TRACED',
]);

function placeOf({ start, end, mappings }: Module): LibraryPlace {
  const code = mappings.find(({ permissions }) => permissions[2] === 'x')!.start;
  return { start, end, code, origin: originAt(mappings, code) };
}

/** Before its relocation, code that is relocated is not what it will be. */
function requireSettled({ name, relocatesCode }: Module): void {
  if (!relocatesCode) return;
  throw new AttachError(
    'ATTACH_SITE_RELOCATED',
    `cannot attach to '${name}' while it is loaded: its code is relocated`,
    {
      fix: 'attach once it is loaded, or compile it with -fPIC',
    },
  );
}

function unlessNotFound(find: () => Module): Module | undefined {
  try {
    return find();
  } catch (error) {
    if (error instanceof ProcessError && error.code === 'PROCESS_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** The attachment of a probe, through all the times that its library is loaded. */
class LibraryEntry implements AttachEntry {
  readonly probe: LibraryProbe;
  onDetach = (): void => {};
  readonly #injection: Injection;
  #now: Loaded | undefined;
  /** Where the library was found last that the probe could not be attached to. */
  #refused: LibraryPlace | undefined;
  problem: BpfError | undefined;

  constructor(injection: Injection, probe: LibraryProbe) {
    this.#injection = injection;
    this.probe = probe;
  }

  get isAttached(): boolean {
    return this.#now !== undefined;
  }

  get target(): string {
    return this.#now?.entry.target ?? this.probe.target;
  }

  get address(): bigint {
    return this.#now?.entry.address ?? 0n;
  }

  get addresses(): readonly bigint[] {
    return this.#now === undefined ? [] : (this.#now.entry.addresses ?? [this.address]);
  }

  get method(): string {
    return this.#now?.entry.method ?? PENDING;
  }

  attachTo(module: Module): void {
    this.#now = { entry: this.probe.attach(module), ...placeOf(module) };
    this.problem = undefined;
    this.#injection.onFailure(() => {
      this.#now = undefined;
    });
  }

  /** True if the probe cannot be attached to the library where that lies now. */
  hasRefused(module: Module): boolean {
    const { start, origin } = placeOf(module);
    return this.#refused?.start === start && isSameOrigin(this.#refused.origin, origin);
  }

  /** Notes why the probe is not attached; where that will not change by itself, it is not tried again. */
  refuse(module: Module, error: BpfError): void {
    this.problem = error;
    this.#refused = PASSING.has(error.code) ? undefined : placeOf(module);
  }

  /** Gives up what is not there any more. */
  forgetUnlessAt(originOf: (address: bigint) => CodeOrigin | undefined): void {
    const isAt = ({ origin, code }: LibraryPlace): boolean => isSameOrigin(origin, originOf(code));
    if (this.#refused !== undefined && !isAt(this.#refused)) this.#refused = undefined;
    if (this.#now !== undefined && !isAt(this.#now)) this.#forget(this.#now);
  }

  /** @param gone where sites are that are gone: another library, or the same one anew, is in the place of theirs */
  forgetIn(gone: ReadonlySet<bigint>): void {
    const now = this.#now;
    if (now !== undefined && [...gone].some((address) => address >= now.start && address < now.end)) this.#forget(now);
  }

  /** Nothing is left of its sites; what else it holds is given back. */
  #forget({ entry }: Loaded): void {
    this.#now = undefined;
    entry.detach();
  }

  detach(): void {
    this.#now?.entry.detach();
    this.onDetach();
  }
}
