/**
 * A session as another shell finds it in a process: what is attached, how often it ran, what its maps hold. All of it is
 * read from the target's memory, and the target may have written anything there.
 */
import { type Btf, readBtf } from '../btf/btf.ts';
import { BtfError } from '../btf/errors.ts';
import { viewOf } from '../bytes/struct.ts';
import type { FoundJournal } from '../inject/found-journal.ts';
import { Errno } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import { BpfMap } from './bpf-map.ts';
import { RuntimeError } from './errors.ts';
import { type Handler, HandlerTable, type LinkHandler, type MapHandler, type ProgHandler } from './handlers.ts';
import { bankOf, readHits } from './hit-counters.ts';

/** No map that is larger is copied. */
const LARGEST_MAP = 1024 ** 3;
/** No BTF is. */
const LARGEST_BTF = 16 * 1024 * 1024;

/** An attachment, as the session's table tells. */
export interface FoundLink {
  readonly id: number;
  readonly program: string;
  readonly section: string;
  /** The number of an attach kind. */
  readonly attachType: number;
  /** What it is attached to, as it was given: 'libc.so.6:malloc'. */
  readonly target: string;
  readonly address: bigint;
  readonly hits: bigint;
  readonly missed: bigint;
}

export class FoundSession {
  readonly journal: FoundJournal;
  readonly #table: HandlerTable;
  readonly #handlers: ReadonlyMap<number, Handler>;
  readonly #banks = new Map<number, Uint8Array>();

  /** @throws {RuntimeError} RUNTIME_BAD_TABLE if its controller has not come so far, or its table is damaged */
  constructor(journal: FoundJournal) {
    this.journal = journal;
    this.#table = HandlerTable.copy((offset, size) => readClient(journal, offset, size));
    this.#handlers = new Map(this.#table.handlers());
  }

  /** What is attached now. */
  get links(): readonly FoundLink[] {
    return [...this.#handlers.values()].flatMap((handler) => this.#linkOf(handler) ?? []);
  }

  get mapNames(): readonly string[] {
    return this.#mapHandlers().map(({ name }) => name);
  }

  /** A copy of a map; `undefined` if there is none of that name. @throws {RuntimeError} RUNTIME_BAD_TABLE @throws {MapError} */
  map(name: string): BpfMap | undefined {
    const handler = this.#mapHandlers().find((one) => one.name === name);
    if (handler === undefined) return undefined;
    const type = mapTypeOf(handler);
    type.check(handler);
    if (handler.size !== type.size(handler) || handler.size > LARGEST_MAP) {
      throw new RuntimeError(
        'RUNTIME_BAD_TABLE',
        `cannot read map ${name}: ${handler.size} bytes are not what it takes`,
      );
    }
    const bytes = readClient(this.journal, handler.offset, handler.size);
    const map = BpfMap.copyOf(handler, this.#btf(), bytes);
    const held = map.holds === 'maps' ? 'map' : 'program';
    const things = [...this.#handlers.values()].filter(({ kind }) => kind === held) as readonly (
      | ProgHandler
      | MapHandler
    )[];
    // In their order in the object.
    map.hold({ nameOf: (number) => things[number - 1]?.name, numberOf: () => -Errno.EBADF });
    return map;
  }

  #mapHandlers(): readonly MapHandler[] {
    return [...this.#handlers.values()].filter((handler) => handler.kind === 'map');
  }

  #linkOf(handler: Handler): FoundLink | undefined {
    if (handler.kind !== 'link' || handler.entryId === 0) return undefined;
    const program = this.#handlers.get(handler.program);
    const event = this.#handlers.get(handler.perfEvent);
    if (program?.kind !== 'program' || event?.kind !== 'perf event') return undefined;
    const { name, section } = program;
    const { attachType, privateData: target } = event;
    const { entryId: id, address } = handler;
    return { id, program: name, section, attachType, target, address, ...this.#counts(handler) };
  }

  #counts({ counter, hitsBefore, missedBefore }: LinkHandler): Pick<FoundLink, 'hits' | 'missed'> {
    const { hits, missed } = this.#table.places;
    const { offset, size } = bankOf(counter);
    let bank = this.#banks.get(offset);
    if (bank === undefined) {
      bank = new Uint8Array(offset + size);
      bank.set(readClient(this.journal, hits + offset, size), offset);
      this.#banks.set(offset, bank);
    }
    const missedNow = viewOf(readClient(this.journal, missed + 8 * counter, 8)).getBigUint64(0, true);
    return {
      hits: BigInt.asUintN(64, readHits(bank, counter) - hitsBefore),
      missed: BigInt.asUintN(64, missedNow - missedBefore),
    };
  }

  #btf(): Btf | undefined {
    const { btf, btfSize } = this.#table.places;
    if (btfSize === 0 || btfSize > LARGEST_BTF) return undefined;
    try {
      return readBtf(readClient(this.journal, btf, btfSize));
    } catch (error) {
      if (error instanceof BtfError) return undefined;
      throw error;
    }
  }
}

function readClient(journal: FoundJournal, offset: number, size: number): Uint8Array {
  try {
    return Uint8Array.from(journal.readClient(offset, size));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RuntimeError('RUNTIME_BAD_TABLE', `cannot read session ${journal.id}: ${error.message}`);
  }
}
