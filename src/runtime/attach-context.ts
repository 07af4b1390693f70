/**
 * Turns stored handlers into live attachments, through whatever implementations were registered: the seed's
 * bpf_attach_ctx. It never learns what a function or a system call is.
 */
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback, PrivateData } from '../attach/attach-impl.ts';
import { AttachError } from '../attach/errors.ts';
import type { LoadFollower, LoadGate } from '../attach/loads.ts';
import type { BpfError } from '../errors.ts';
import type { HandlerTable, LinkHandler, PerfEventHandler, Slot } from './handlers.ts';

/** What the context needs of the session around it. */
export interface AttachContextOptions {
  readonly table: HandlerTable;
  /** The program in a slot, ready to be compiled for where `event` is; `entryId` is the attachment's. */
  callbackOf(program: Slot, event: PerfEventHandler, entryId: number): EbpfCallback;
  /** A number for the next attachment: one that no other has. */
  nextId(): number;
  /** Runs `body` so that what it attaches or detaches takes effect together, or not at all if it throws. */
  batch<T>(body: () => T): T;
}

/** A live attachment, by the id that detaches it. */
export interface LiveEntry extends AttachEntry {
  readonly id: number;
  readonly kind: AttachKind;
  readonly link: Slot;
  readonly addresses: readonly bigint[];
  readonly unreached: number | undefined;
}

/** What an entry says now: it may wait, and be elsewhere later. */
class Live implements LiveEntry {
  readonly id: number;
  readonly kind: AttachKind;
  readonly link: Slot;
  readonly #entry: AttachEntry;

  constructor(id: number, kind: AttachKind, link: Slot, entry: AttachEntry) {
    this.id = id;
    this.kind = kind;
    this.link = link;
    this.#entry = entry;
  }

  get target(): string {
    return this.#entry.target;
  }

  get address(): bigint {
    return this.#entry.address;
  }

  get addresses(): readonly bigint[] {
    return this.#entry.addresses ?? [this.address];
  }

  get unreached(): number | undefined {
    return this.#entry.unreached;
  }

  get method(): string {
    return this.#entry.method;
  }

  get codeWithoutFile(): number {
    return this.#entry.codeWithoutFile ?? 0;
  }

  get problem(): BpfError | undefined {
    return this.#entry.problem;
  }

  detach(): void {
    this.#entry.detach();
  }
}

type Attacher = (event: PerfEventHandler, callback: EbpfCallback) => AttachEntry;

export class AttachContext {
  readonly #options: AttachContextOptions;
  readonly #kinds = new Map<number, { readonly kind: AttachKind; readonly attach: Attacher }>();
  readonly #entries = new Map<number, LiveEntry>();
  readonly #followers: LoadFollower[] = [];
  #gate: LoadGate | undefined;

  constructor(options: AttachContextOptions) {
    this.#options = options;
  }

  /**
   * Serves every kind of `impl` from now on. The closure keeps an implementation together with its own private-data
   * type, so nothing is cast.
   *
   * @throws {AttachError} ATTACH_TYPE_TAKEN
   */
  register<P extends PrivateData>(impl: AttachImpl<P>): void {
    for (const kind of impl.kinds) {
      if (this.#kinds.has(kind.type)) {
        throw new AttachError(
          'ATTACH_TYPE_TAKEN',
          `cannot register ${kind.name}: attach type ${kind.type} is already served`,
        );
      }
    }
    for (const kind of impl.kinds) {
      const attach: Attacher = (event, callback) =>
        impl.createAttach(kind, impl.parsePrivateData(event.privateData), callback);
      this.#kinds.set(kind.type, { kind, attach });
    }
  }

  /** Keeps attachments up to date that follow what is mapped. */
  follow(follower: LoadFollower, gate?: LoadGate): void {
    this.#followers.push(follower);
    this.#gate ??= gate;
  }

  /** Where threads wait that have loaded a library; undefined if nothing follows them. */
  get gate(): LoadGate | undefined {
    return this.#gate;
  }

  /** Has attachments follow what was mapped and unmapped since. @returns those that are not where they were */
  update(): readonly LiveEntry[] {
    const before = this.entries.map((entry) => ({ entry, address: entry.address, problem: entry.problem }));
    for (const follower of this.#followers) follower.update();
    const changed = before.filter((b) => b.entry.address !== b.address || b.entry.problem !== b.problem);
    for (const { entry } of changed) this.#options.table.setEntry(entry.link, entry.id, entry.address);
    return changed.map(({ entry }) => entry);
  }

  /** Every kind that can be attached now. */
  get kinds(): readonly AttachKind[] {
    return [...this.#kinds.values()].map(({ kind }) => kind);
  }

  /** The live attachments, oldest first. */
  get entries(): readonly LiveEntry[] {
    return [...this.#entries.values()];
  }

  /**
   * Makes the links stored in `slots` live, all of them or none; by default every link that is not live yet.
   *
   * @returns their entry ids, in the order of the slots
   * @throws {AttachError} ATTACH_NO_IMPL, ATTACH_BAD_SLOT, and what the implementations throw
   */
  instantiate(slots: readonly Slot[] = this.#dormantLinks()): readonly number[] {
    const { table, batch } = this.#options;
    const made: LiveEntry[] = [];
    try {
      batch(() => {
        for (const slot of slots) made.push(this.#instantiateOne(slot));
      });
    } catch (error) {
      for (const entry of made.reverse()) entry.detach();
      throw error;
    }
    for (const entry of made) {
      this.#entries.set(entry.id, entry);
      table.setEntry(entry.link, entry.id, entry.address);
    }
    return made.map(({ id }) => id);
  }

  /**
   * Attaches code of our own where a kind of programs would be attached; it is no link, and listed nowhere.
   *
   * @param prefix a section prefix of the kind
   * @throws as `instantiate`
   */
  attachOwn(prefix: string, place: string, callback: EbpfCallback): AttachEntry {
    const served = [...this.#kinds.values()].find(({ kind }) => kind.sections.includes(prefix));
    if (served === undefined)
      throw new AttachError('ATTACH_NO_IMPL', `cannot attach to ${place}: nothing serves '${prefix}'`);
    const event = { kind: 'perf event', attachType: served.kind.type, privateData: place, cookie: 0n } as const;
    return served.attach(event, callback);
  }

  /**
   * Takes attachments off, newest first, in one step; ids that are not live are passed over.
   *
   * @param isGone says that there is nothing left that they could be taken off, whatever goes wrong
   */
  detach(ids: readonly number[], isGone = () => false): void {
    const live = ids.map((id) => this.#entries.get(id)).filter((entry) => entry !== undefined);
    try {
      this.#options.batch(() => {
        for (const entry of live.reverse()) entry.detach();
      });
    } catch (error) {
      if (!isGone()) throw error;
    }
    for (const { id, link } of live) {
      this.#entries.delete(id);
      this.#options.table.setEntry(link, 0, 0n);
    }
  }

  /** Detaches everything. */
  [Symbol.dispose](): void {
    this.detach([...this.#entries.keys()]);
  }

  #instantiateOne(slot: Slot): LiveEntry {
    const link = this.#handler(slot, 'link');
    const event = this.#handler(link.perfEvent, 'perf event');
    const served = this.#kinds.get(event.attachType);
    if (served === undefined) {
      throw new AttachError(
        'ATTACH_NO_IMPL',
        `cannot attach to ${event.privateData}: nothing serves attach type ${event.attachType}`,
      );
    }
    const id = this.#options.nextId();
    const entry = served.attach(event, this.#options.callbackOf(link.program, event, id));
    return new Live(id, served.kind, slot, entry);
  }

  #handler(slot: Slot, kind: 'link'): LinkHandler;
  #handler(slot: Slot, kind: 'perf event'): PerfEventHandler;
  #handler(slot: Slot, kind: string): LinkHandler | PerfEventHandler {
    const handler = this.#options.table.get(slot);
    if (handler?.kind === 'link' || handler?.kind === 'perf event') {
      if (handler.kind === kind) return handler;
    }
    throw new AttachError(
      'ATTACH_BAD_SLOT',
      `cannot attach: slot ${slot} holds ${handler?.kind ?? 'nothing'}, wanted a ${kind}`,
    );
  }

  #dormantLinks(): Slot[] {
    const links: Slot[] = [];
    for (const [slot, handler] of this.#options.table.handlers()) {
      if (handler.kind === 'link' && handler.entryId === 0) links.push(slot);
    }
    return links;
  }
}
