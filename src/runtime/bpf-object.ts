/**
 * The live object that users hold, in libbpf's words: its programs and maps, and the links that attaching makes. Until something
 * is attached no process is touched.
 */
import type { Btf } from '../btf/btf.ts';
import { BpfError } from '../errors.ts';
import { PERMISSIONS, type Permission } from '../helpers/prototype.ts';
import { HELPERS } from '../helpers/table.ts';
import type { Injection } from '../inject/injection.ts';
import type { ThreadOwners } from '../maps/map-type.ts';
import type { Autoload, LeftOutProgram } from '../object/autoload.ts';
import { readLoadable } from '../object/read-object.ts';
import type { LinkedProgram, ObjectSpec } from '../object/spec.ts';
import { AddressNames } from '../process/address-names.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { readKernel } from '../sys/kernel.ts';
import type { SharedPart } from '../sys/shared-mapping.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { kindOfSection } from '../verifier/program-kind.ts';
import { verify } from '../verifier/verify.ts';
import { BpfLink } from './bpf-link.ts';
import { BpfMap } from './bpf-map.ts';
import { attachRequest, BpfProgram, namesNoPlace } from './bpf-program.ts';
import { RuntimeError } from './errors.ts';
import type { RingHome } from './event-source.ts';
import { type FollowEvents, Follower } from './follower.ts';
import { holdMaps } from './held-maps.ts';
import { Loads } from './loads.ts';
import { sizeMaps, type UsualSize } from './map-sizes.ts';
import { Pins } from './pins.ts';
import { type AttachRequest, type AttachSetup, Session } from './session.ts';
import { setVariables, type VariableValue } from './set-variables.ts';
import { SpareMaps, withSpares } from './spare-maps.ts';
import { onlyFollows, TailPrograms } from './tail-programs.ts';
import { ThreadValues } from './thread-values.ts';

/** What an object needs of whoever puts the house together. */
export interface ObjectOptions {
  /** Registers the attach implementations. */
  readonly setup: AttachSetup;
  readonly inject: (process: TargetProcess) => Injection;
  /** What programs may do that is refused by default. */
  readonly allow: readonly Permission[];
  /** Programs that are loaded, or not, otherwise than their sections say. */
  readonly autoload?: Autoload;
  /** What global variables hold, by name, in place of what the object says. */
  readonly variables?: ReadonlyMap<string, VariableValue>;
  /** How many entries maps get, by name, in place of what the object says. */
  readonly maxEntries?: ReadonlyMap<string, number>;
  /** For how many maps that are made later there is room, by the map of maps that they are for. */
  readonly innerMaps?: ReadonlyMap<string, number>;
  /** Where maps that ask to be pinned by their name are kept; they are like all others if it is not given. */
  readonly pinDirectory?: string;
}

/** What an attach did, all links of it in one stop of the target. */
export interface AttachReport {
  readonly links: readonly BpfLink[];
  /** How long the target stood still, in microseconds. */
  readonly pauseUs: number;
}

export class BpfObject implements Disposable {
  readonly license: string;
  readonly btf: Btf | undefined;
  /** In the order of the file. */
  readonly programs: readonly BpfProgram[];
  readonly maps: readonly BpfMap[];
  /** Programs of the file that `attachAll` passes over unless they are given a place: the kernel's own, and those that nobody asked for. */
  readonly leftOut: readonly LeftOutProgram[];
  /** Sizes of maps that neither the file nor the options say. */
  readonly usualSizes: readonly UsualSize[];
  readonly #spec: ObjectSpec;
  readonly #verified: readonly VerifiedProgram[];
  readonly #options: ObjectOptions;
  readonly #tailPrograms: TailPrograms;
  readonly #spares: SpareMaps;
  readonly #sessions = new Map<TargetProcess, Residence>();
  /** The memory that all these share; it stays when they end. */
  #common: SharedPart | undefined;
  /** Of all processes it is attached to. */
  readonly #names = new AddressNames();
  readonly #sessionIds = new Set<string>();
  #lastId = 0;
  /** What was printed where the object is not loaded any more. */
  readonly #leftPrintk: string[] = [];
  #leftEvents = 0n;
  readonly #links = new Map<number, BpfLink>();
  readonly #pins: Pins | undefined;
  /** While it is attached, if it has maps that need it. */
  #threadValues: ThreadValues | undefined;

  /**
   * Reads, links and checks an object file, or checks what was described in another way.
   *
   * @throws {ElfError | BtfError | ObjectError | MapError | VerifierError}
   * @throws {RuntimeError} RUNTIME_BAD_SLOT, RUNTIME_NO_MAP, RUNTIME_NO_VARIABLE, RUNTIME_BAD_VARIABLE, RUNTIME_PIN_IN_USE, RUNTIME_PIN_MISMATCH, RUNTIME_PIN_REFUSED
   */
  constructor(source: Uint8Array | ObjectSpec, options: ObjectOptions) {
    const { leftOut, ...spec } =
      source instanceof Uint8Array
        ? readLoadable(source, readKernel(), options.autoload ?? {})
        : { ...source, leftOut: [] };
    const { maps, usual } = sizeMaps(setVariables(spec, options.variables), options.maxEntries);
    const spares = options.innerMaps ?? new Map<string, number>();
    this.#spec = { ...spec, maps: withSpares(maps, spares) };
    this.leftOut = leftOut;
    this.usualSizes = usual;
    this.#options = options;
    this.#verified = this.#spec.programs.flatMap((program) => {
      try {
        return [verified(program, this.#spec)];
      } catch (error) {
        // What nobody asked for need not be fit for a process.
        if (error instanceof BpfError && this.#isLeftOut(program.name)) return [];
        throw error;
      }
    });
    this.license = this.#spec.license;
    this.btf = this.#spec.btf;
    this.programs = this.#verified.map(
      (program) => new BpfProgram(program, (target, request) => this.attach(target, [request]).links[0]!),
    );
    this.maps = this.#spec.maps.map((map) => new BpfMap(map, this.btf));
    holdMaps(this.maps);
    this.#spares = new SpareMaps(this.maps, spares, () => this.#isQuiet());
    this.#tailPrograms = new TailPrograms(this.programs, this.maps);
    if (options.pinDirectory !== undefined) this.#pins = new Pins(options.pinDirectory, this.maps);
  }

  /** @throws {RuntimeError} RUNTIME_NO_PROGRAM */
  program(name: string): BpfProgram {
    const found = this.programs.find((program) => program.name === name);
    if (found !== undefined) return found;
    const left = this.leftOut.find((program) => program.name === name);
    if (left !== undefined) throw leftOutError(left);
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
   * Makes a map for a map of maps, also while programs run: empty, and of the shape of those that are in there. `update` puts it in.
   *
   * @param outer the name of the map of maps; `innerMaps` says how many it may have
   * @throws {RuntimeError} RUNTIME_NO_MAP, RUNTIME_NO_SPARE
   */
  makeInnerMap(outer: string): BpfMap {
    return this.#spares.make(this.map(outer).name);
  }

  /**
   * Takes a map that was made so out of wherever it is, and waits until no program has it any more: all threads of the targets stand still
   * for a moment. What it holds then is final, and can be read until `makeInnerMap` gives the same map out again, empty. Children that
   * targets forked are not waited for.
   *
   * @throws {RuntimeError} RUNTIME_MAP_IN_USE: it is nowhere any more, and may be dropped again
   */
  dropInnerMap(map: BpfMap): void {
    this.#spares.drop(map);
  }

  /**
   * Attaches every program that is loaded, all or none: to where its section says, or to the place given for it by name
   * (`uprobe:libc.so.6:malloc`). Programs that are only there to go on from a map of programs are not attached, unless a place is given,
   * nor, beside others, those of `withoutPlace`.
   * In all processes that an object is attached to it has the same maps.
   *
   * @throws {RuntimeError} RUNTIME_NO_SECTION_TARGET, RUNTIME_NO_PROGRAM
   * @throws {AttachError | ProcessError | InjectError | CompileError | SysError} nothing is attached then
   */
  attachAll(target: TargetProcess, places: ReadonlyMap<string, string> = new Map()): AttachReport {
    for (const name of places.keys()) this.program(name);
    const attachable = this.#attachable(places);
    const [left] = this.leftOut;
    if (left !== undefined && attachable.length === 0) throw leftOutError(left);
    const unplaced = new Set(this.withoutPlace(places).map(({ name }) => name));
    return this.attach(
      target,
      attachable
        .filter(({ name }) => !unplaced.has(name))
        .map((program) => attachRequest(program, places.get(program.name))),
    );
  }

  /**
   * Programs that `attachAll` passes over, as libbpf does, since neither their sections nor `places` say where they are to run; none if
   * there are no others.
   */
  withoutPlace(places: ReadonlyMap<string, string> = new Map()): readonly LeftOutProgram[] {
    const attachable = this.#attachable(places);
    const unplaced = attachable.filter(({ name, section }) => !places.has(name) && namesNoPlace(section));
    if (unplaced.length === attachable.length) return [];
    return unplaced.map(({ name, section }) => ({
      name,
      section,
      why: 'neither its section nor an option says where',
    }));
  }

  /** Attaches programs of this object, all or none. @internal */
  attach(target: TargetProcess, requests: readonly AttachRequest[]): AttachReport {
    const session = this.#sessionIn(target);
    const entries = session.attach(requests);
    const pauseUs = session.injection.lastPauseUs;
    const links = entries.map(
      (entry, index) => new BpfLink(session, entry, this.program(requests[index]!.program), pauseUs),
    );
    for (const link of links) this.#links.set(link.id, link);
    this.#sessions.get(target)!.links.push(...links);
    return { links, pauseUs };
  }

  /**
   * From now on threads of the targets that load a library wait until `update` of the result was called, so that links to it are
   * attached before its constructors run. Without that, links that are pending stay so.
   */
  awaitLoads(): Loads {
    return new Loads(
      () => [...this.#sessions.values()].map(({ session }) => session),
      (id) => this.#links.get(id),
    );
  }

  /**
   * Attaches every program that finds its place in a process, and gives up the others: a program that a target's child has become
   * need not have what the target has.
   *
   * @throws {ProcessError | InjectError | SysError} if the process cannot be entered
   */
  attachWhatFits(target: TargetProcess, places: ReadonlyMap<string, string> = new Map()): AttachReport {
    const { injection } = this.#sessionIn(target);
    const attempt = (body: () => AttachReport): readonly BpfLink[] | undefined => {
      try {
        return body().links;
      } catch (error) {
        if (!(error instanceof BpfError) || target.isGone()) throw error;
        return undefined;
      }
    };
    const all = attempt(() => this.attachAll(target, places));
    const links =
      all ??
      this.#attachable(places).flatMap((program) => {
        return attempt(() => this.attach(target, [attachRequest(program, places.get(program.name))])) ?? [];
      });
    return { links, pauseUs: injection.lastPauseUs };
  }

  /**
   * Follows the children of all processes that it is attached to, until the result is disposed of: those that are forked have its
   * programs anyway; into those that replace their program it is loaded anew, wherever programs find their place.
   *
   * @param places as for `attachAll`
   * @throws {AttachError | RuntimeError} if a process cannot be followed
   */
  follow(events: FollowEvents<AttachReport>, places: ReadonlyMap<string, string> = new Map()): Follower {
    const follower = new Follower(
      {
        attach: (target) => ({ report: this.attachWhatFits(target, places), session: this.#sessionIn(target) }),
        leave: (target) => this.leave(target),
      },
      events,
    );
    for (const [target, { session }] of this.#sessions) follower.add(target, session);
    return follower;
  }

  /** The names of its sessions, of those that have ended too: a target's children may have them still. */
  get sessionIds(): ReadonlySet<string> {
    return this.#sessionIds;
  }

  /** Detaches every link, of each target in one stop. What they counted, stored and printed stays readable. */
  detachAll(): void {
    forEach([...this.#sessions.values()], ({ session }) => session.detachAll());
  }

  /** Detaches every link of one process and leaves it; of one that it is not attached to it does nothing. */
  leave(target: TargetProcess): void {
    const residence = this.#sessions.get(target);
    if (residence === undefined) return;
    this.#sessions.delete(target);
    target.moveOut(residence.tenant);
    const { session } = residence;
    try {
      session.detachAll();
    } finally {
      this.#leftPrintk.push(...session.readPrintk());
      this.#leftEvents += session.lostPrintk;
      for (const link of residence.links) link.settle();
      this.#names.remove(target, new Set(this.maps.flatMap((map) => [...map.heldAddresses()])));
      session[Symbol.dispose]();
    }
  }

  /** True once another remora has taken off what this object attached to a process: only its maps are left to be read. */
  isDetachedByOthers(target: TargetProcess): boolean {
    return this.#sessions.get(target)?.session.isClosed ?? false;
  }

  /** What programs printed with bpf_trace_printk since the last call, a line each. */
  readPrintk(): string[] {
    const left = this.#leftPrintk.splice(0);
    return [...left, ...[...this.#sessions.values()].flatMap(({ session }) => session.readPrintk())];
  }

  /** Events and printed lines that found no room, or were never finished, so far. */
  get lostEvents(): bigint {
    const printed = [...this.#sessions.values()].reduce(
      (sum, { session }) => sum + session.lostPrintk,
      this.#leftEvents,
    );
    return this.maps.reduce((sum, { events }) => sum + (events?.lost ?? 0n), printed);
  }

  /** Detaches every link, of each target in one stop, and leaves them; what the maps hold stays readable, and pinned ones are written. */
  [Symbol.dispose](): void {
    try {
      this.detachAll();
    } finally {
      this.#threadValues?.[Symbol.dispose]();
      for (const map of this.maps) map.moveOut();
      try {
        forEach([...this.#sessions.keys()], (target) => this.leave(target));
      } finally {
        this.#common?.[Symbol.dispose]();
        this.#common = undefined;
        this.#pins?.[Symbol.dispose]();
      }
    }
  }

  #attachable(places: ReadonlyMap<string, string>): readonly BpfProgram[] {
    return this.programs.filter(
      ({ name, verified }) => places.has(name) || !(this.#isLeftOut(name) || onlyFollows(verified, this.#spec.maps)),
    );
  }

  #isLeftOut(name: string): boolean {
    return this.leftOut.some((program) => program.name === name);
  }

  #sessionIn(target: TargetProcess): Session {
    const known = this.#sessions.get(target)?.session;
    if (known !== undefined) return known;
    const session = this.#openSession(this.#options.inject(target));
    if (this.#common === undefined) {
      this.#common = session.common;
      for (const map of this.maps) {
        map.moveTo(session.mapMemory(map.name), () => session.slotsInUse, this.#home);
        map.nameAddresses((address) => this.#names.nameOf(address));
      }
      const owners = (): ThreadOwners[] => this.maps.flatMap(({ owners }) => owners ?? []);
      if (owners().length > 0) this.#threadValues = new ThreadValues(owners, this.#home);
    }
    this.#names.add(target);
    const tenant = { [Symbol.dispose]: () => this.leave(target) };
    this.#sessionIds.add(session.injection.id);
    this.#sessions.set(target, { session, tenant, links: [] });
    target.moveIn(tenant);
    return session;
  }

  /** Waits until no program runs any more that runs now; false if one does not end. */
  #isQuiet(): boolean {
    return [...this.#sessions.values()].every(({ session }) => session.injection.awaitPrograms());
  }

  /** Rings are everybody's who is attached. */
  get #home(): RingHome {
    const sessions = (): Session[] => [...this.#sessions.values()].map(({ session }) => session);
    return {
      isOver: () => sessions().every(({ isClosed, injection }) => isClosed || injection.process.isGone()),
      hasEnded: (thread) => sessions().every((session) => session.hasThreadEnded(thread)),
    };
  }

  /** A session that cannot begin leaves nothing in the target. */
  #openSession(injection: Injection): Session {
    try {
      return new Session(injection, {
        spec: this.#spec,
        programs: this.#verified,
        setup: this.#options.setup,
        allowed: new Set(this.#options.allow),
        nextId: () => ++this.#lastId,
        common: this.#common,
        tailCalls: this.#tailPrograms,
      });
    } catch (error) {
      injection[Symbol.dispose]();
      throw error;
    }
  }
}

/** An object in one process, and what it has to leave when that is closed. */
interface Residence {
  readonly session: Session;
  readonly tenant: Disposable;
  readonly links: BpfLink[];
}

function leftOutError({ name, section, why }: LeftOutProgram): RuntimeError {
  return new RuntimeError('RUNTIME_LEFT_OUT', `cannot attach program ${name} (${section}): it was left out`, {
    why,
    fix: `say where it is to run: --attach ${name}=uprobe:BINARY:FUNCTION, or load it: openObject(file, { autoload: { ${name}: true } })`,
  });
}

/** Does it for each, whatever comes of the others. @throws what was thrown first */
function forEach<T>(all: readonly T[], body: (one: T) => void): void {
  const errors: unknown[] = [];
  for (const one of all) {
    try {
      body(one);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
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

function nameList(named: readonly { readonly name: string }[]): string {
  return named.map(({ name }) => name).join(', ') || 'none';
}
