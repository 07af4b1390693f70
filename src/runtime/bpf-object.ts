/**
 * The live objects that users hold, in libbpf's words: an object, its programs and maps, and the links that attaching
 * makes. Until something is attached no process is touched.
 */
import type { Btf } from '../btf/btf.ts';
import { PERMISSIONS, type Permission } from '../helpers/prototype.ts';
import { HELPERS } from '../helpers/table.ts';
import type { Injection } from '../inject/injection.ts';
import { readObject } from '../object/read-object.ts';
import type { LinkedProgram, ObjectSpec } from '../object/spec.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { readKernel } from '../sys/kernel.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { kindOfSection } from '../verifier/program-kind.ts';
import { verify } from '../verifier/verify.ts';
import type { LiveEntry } from './attach-context.ts';
import { BpfMap } from './bpf-map.ts';
import { RuntimeError } from './errors.ts';
import { type AttachRequest, type AttachSetup, Session } from './session.ts';

/** What an object needs of whoever puts the house together. */
export interface ObjectOptions {
  /** Registers the attach implementations. */
  readonly setup: AttachSetup;
  readonly inject: (process: TargetProcess) => Injection;
  /** What programs may do that is refused by default. */
  readonly allow: readonly Permission[];
}

/** What an attach did, all links of it in one stop of the target. */
export interface AttachReport {
  readonly links: readonly BpfLink[];
  /** How long the target stood still, in microseconds. */
  readonly pauseUs: number;
}

/** Where to attach, for programs whose section does not say it. */
export interface AttachOptions {
  /** What bpf_get_attach_cookie gives; 0 if not given. */
  readonly cookie?: bigint;
}

export class BpfObject implements Disposable {
  readonly license: string;
  readonly btf: Btf | undefined;
  /** In the order of the file. */
  readonly programs: readonly BpfProgram[];
  readonly maps: readonly BpfMap[];
  readonly #spec: ObjectSpec;
  readonly #verified: readonly VerifiedProgram[];
  readonly #options: ObjectOptions;
  #session: Session | undefined;
  #target: TargetProcess | undefined;

  /**
   * Reads, links and checks an object file.
   *
   * @throws {ElfError | BtfError | ObjectError | MapError | VerifierError}
   */
  constructor(file: Uint8Array, options: ObjectOptions) {
    this.#spec = readObject(file, readKernel());
    this.#options = options;
    this.#verified = this.#spec.programs.map((program) => verified(program, this.#spec));
    this.license = this.#spec.license;
    this.btf = this.#spec.btf;
    this.programs = this.#verified.map((program) => new BpfProgram(this, program));
    this.maps = this.#spec.maps.map((map) => new BpfMap(map, this.btf));
  }

  /** @throws {RuntimeError} RUNTIME_NO_PROGRAM */
  program(name: string): BpfProgram {
    const found = this.programs.find((program) => program.name === name);
    if (found !== undefined) return found;
    throw new RuntimeError(
      'RUNTIME_NO_PROGRAM',
      `cannot find program ${name}: the object has ${nameList(this.programs)}`,
    );
  }

  /** @throws {RuntimeError} RUNTIME_NO_MAP */
  map(name: string): BpfMap {
    const found = this.maps.find((map) => map.name === name);
    if (found !== undefined) return found;
    throw new RuntimeError('RUNTIME_NO_MAP', `cannot find map ${name}: the object has ${nameList(this.maps)}`);
  }

  /**
   * Attaches every program, all or none: to where its section says, or to the place given for it by name
   * (`uprobe:libc.so.6:malloc`).
   *
   * @throws {RuntimeError} RUNTIME_NO_SECTION_TARGET, RUNTIME_OTHER_PROCESS, RUNTIME_NO_PROGRAM
   * @throws {AttachError | ProcessError | InjectError | CompileError | SysError} nothing is attached then
   */
  attachAll(target: TargetProcess, places: ReadonlyMap<string, string> = new Map()): AttachReport {
    for (const name of places.keys()) this.program(name);
    return this.attach(
      target,
      this.programs.map((program) => request(program, places.get(program.name))),
    );
  }

  /** Attaches programs of this object, all or none. @internal */
  attach(target: TargetProcess, requests: readonly AttachRequest[]): AttachReport {
    const session = this.#sessionIn(target);
    const entries = session.attach(requests);
    const pauseUs = session.injection.lastPauseUs;
    const links = entries.map(
      (entry, index) => new BpfLink(session, entry, this.program(requests[index]!.program), pauseUs),
    );
    return { links, pauseUs };
  }

  /** Detaches every link in one stop of the target. What they counted, stored and printed stays readable. */
  detachAll(): void {
    this.#session?.detachAll();
  }

  /** True once another remora has taken off what this object attached: only its maps are left to be read. */
  get isDetachedByOthers(): boolean {
    return this.#session?.isClosed ?? false;
  }

  /** What programs printed with bpf_trace_printk since the last call, a line each. */
  readPrintk(): string[] {
    return this.#session?.readPrintk() ?? [];
  }

  /** Printed lines that found no room, so far. */
  get lostEvents(): bigint {
    return this.#session?.lostPrintk ?? 0n;
  }

  /** Detaches every link in one stop and leaves the target; what the maps hold stays readable. */
  [Symbol.dispose](): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    this.#target?.moveOut(this);
    this.#target = undefined;
    session.detachAll();
    for (const map of this.maps) map.moveOut();
    session[Symbol.dispose]();
  }

  #sessionIn(target: TargetProcess): Session {
    if (this.#session !== undefined) {
      if (this.#target === target) return this.#session;
      const pids = `${this.#target?.pid}, not ${target.pid}`;
      throw new RuntimeError('RUNTIME_OTHER_PROCESS', `cannot attach: the object is loaded into process ${pids}`, {
        fix: 'open the object once for each process',
      });
    }
    const session = this.#openSession(this.#options.inject(target));
    for (const map of this.maps) map.moveTo(session.mapMemory(map.name), () => session.slotsInUse);
    this.#session = session;
    this.#target = target;
    target.moveIn(this);
    return session;
  }

  /** A session that cannot begin leaves nothing in the target. */
  #openSession(injection: Injection): Session {
    try {
      const { setup, allow } = this.#options;
      return new Session(injection, this.#spec, this.#verified, setup, new Set(allow));
    } catch (error) {
      injection[Symbol.dispose]();
      throw error;
    }
  }
}

/** What a program may change is known where it is attached: the compiler refuses what was not allowed. */
function verified(program: LinkedProgram, { maps, btf }: ObjectSpec): VerifiedProgram {
  const verdict = verify(program, {
    kind: kindOfSection(program.section),
    helpers: HELPERS,
    maps: new Map(maps.map((map) => [map.name, map])),
    btf,
    allow: new Set(PERMISSIONS),
  });
  if (verdict.verdict === 'reject') throw verdict.error;
  return verdict.program;
}

export class BpfProgram {
  readonly #object: BpfObject;
  /** The program as verified: its instructions, source lines and what they refer to. */
  readonly verified: VerifiedProgram;

  /** @internal */
  constructor(object: BpfObject, verified: VerifiedProgram) {
    this.#object = object;
    this.verified = verified;
  }

  get name(): string {
    return this.verified.name;
  }

  /** As in the file: `uprobe/libc.so.6:malloc`. */
  get section(): string {
    return this.verified.section;
  }

  /** Attaches to where the section says. @throws as BpfObject.attachAll */
  attach(target: TargetProcess, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, request(this, undefined, options));
  }

  /** Attaches to the entry of a function: `libc.so.6:malloc`. @throws as BpfObject.attachAll */
  attachUprobe(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, request(this, `uprobe:${place}`, options));
  }

  /** Attaches to every function that a pattern matches, as one link: `libc.so.6:*alloc*`. @throws as BpfObject.attachAll */
  attachUprobeMulti(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, request(this, `uprobe.multi:${place}`, options));
  }

  /** Attaches to the return of a function: `libc.so.6:malloc`. @throws as BpfObject.attachAll */
  attachUretprobe(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, request(this, `uretprobe:${place}`, options));
  }

  /** Attaches to a place of any kind: `uprobe.override:libc.so.6:malloc`. @throws as BpfObject.attachAll */
  attachTo(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, request(this, place, options));
  }

  #attach(target: TargetProcess, request: AttachRequest): BpfLink {
    return this.#object.attach(target, [request]).links[0]!;
  }
}

/** One program at one place, until it is detached. */
export class BpfLink implements Disposable {
  readonly #session: Session;
  readonly #entry: LiveEntry;
  readonly program: string;
  readonly section: string;
  /** How long the target stood still for the attach that made this link, in microseconds. */
  readonly pauseUs: number;

  /** @internal */
  constructor(session: Session, entry: LiveEntry, { name, section }: BpfProgram, pauseUs: number) {
    this.#session = session;
    this.#entry = entry;
    this.pauseUs = pauseUs;
    this.program = name;
    this.section = section;
  }

  get id(): number {
    return this.#entry.id;
  }

  /** The attach kind: 'uprobe'. */
  get kind(): string {
    return this.#entry.kind.name;
  }

  /** What it is attached to: 'libc.so.6:malloc'. */
  get target(): string {
    return this.#entry.target;
  }

  get address(): bigint {
    return this.#entry.address;
  }

  /** All places where the program is reached: one but for links such as `uprobe.multi`. */
  get addresses(): readonly bigint[] {
    return this.#entry.addresses;
  }

  /** How: 'jump'. */
  get method(): string {
    return this.#entry.method;
  }

  /** How often the program ran; still told after detach. */
  get hits(): bigint {
    return this.#session.hits(this.id);
  }

  /** How often the place was reached and the program did not run; still told after detach. */
  get missed(): bigint {
    return this.#session.missed(this.id);
  }

  /** Puts the target's bytes back. A second time does nothing. */
  detach(): void {
    this.#session.detach([this.id]);
  }

  [Symbol.dispose](): void {
    this.detach();
  }
}

/** Divides `uprobe/BINARY:FUNCTION` or `uprobe:BINARY:FUNCTION` behind its first word. */
function request(
  { name, section }: Pick<LinkedProgram, 'name' | 'section'>,
  place: string | undefined,
  { cookie = 0n }: AttachOptions = {},
): AttachRequest {
  const match = /^(?<prefix>[^/:]+)[/:](?<place>.+)$/s.exec(place ?? section);
  if (match?.groups === undefined) {
    throw new RuntimeError('RUNTIME_NO_SECTION_TARGET', `cannot attach ${name}: ${section} names no place`, {
      fix: `say where: --attach ${name}=uprobe:BINARY:FUNCTION`,
    });
  }
  return { program: name, prefix: match.groups.prefix!, place: match.groups.place!, cookie };
}

function nameList(named: readonly { readonly name: string }[]): string {
  return named.map(({ name }) => name).join(', ') || 'none';
}
