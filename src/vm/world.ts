/** What interpreted helpers find around them: maps in memory of their own, and facts that tests choose. */
import { toHex } from '../bytes/hex.ts';
import { viewOf } from '../bytes/struct.ts';
import type { HelperWorld } from '../helpers/helper.ts';
import type { HostMap, MapSpec } from '../maps/map-type.ts';
import { UpdateFlag } from '../maps/map-type.ts';
import { mapMemory } from '../maps/memory.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { Reference } from '../object/spec.ts';
import { VmError } from './errors.ts';
import { AddressSpace, type Region } from './memory.ts';

/** The facts that are not the world's own making; what is left out is the same number in every run. */
export type WorldFacts = Pick<
  HelperWorld,
  'nowNs' | 'tickNs' | 'random32' | 'pidTgid' | 'uidGid' | 'comm' | 'cpu' | 'functionIp' | 'attachCookie' | 'print'
>;

const FIXED_FACTS: WorldFacts = {
  nowNs: () => 1_000_000_000n,
  tickNs: 4_000_000n,
  random32: () => 4,
  pidTgid: (1000n << 32n) | 1001n,
  uidGid: (100n << 32n) | 101n,
  comm: 'interpreter',
  cpu: 0,
  functionIp: 0x40_1000n,
  attachCookie: 0n,
  print: () => {},
};

const FIRST_MAP = 0x1000_0000_0000n;
const FIRST_CELL = 0x2000_0000_0000n;
const FIRST_FUNCTION = 1n << 62n;
/** Between the starts of two regions; anything larger than the largest map does. */
const DISTANCE = 0x1_0000_0000n;

interface LiveMap {
  readonly spec: MapSpec;
  readonly address: bigint;
  readonly host: HostMap;
}

/** A copy of a value a program holds a pointer to, and that value when it was last in step with the map. */
interface Cell {
  readonly map: LiveMap;
  readonly key: Uint8Array;
  readonly slot: number;
  readonly region: Region;
  known: Uint8Array;
}

/**
 * The interpreter's HelperWorld. Map operations go through the maps' host sides, which hand out copies: a lookup gives
 * the address of such a copy, and what the program writes there is brought into the map before anybody looks.
 */
export class InterpreterWorld implements HelperWorld {
  readonly memory = new AddressSpace();
  readonly nowNs: (clock: number) => bigint;
  readonly tickNs: bigint;
  readonly random32: () => number;
  readonly pidTgid: bigint;
  readonly uidGid: bigint;
  readonly comm: string;
  readonly cpu: number;
  readonly functionIp: bigint;
  readonly attachCookie: bigint;
  readonly print: (text: string) => void;
  /** Set by the interpreter that runs. */
  callBack: HelperWorld['callBack'] = () => {
    throw new VmError('VM_UNSUPPORTED', 'no program runs that a function could belong to');
  };
  readonly #byName = new Map<string, LiveMap>();
  readonly #byHandle = new Map<bigint, LiveMap>();
  /** In order: maps of maps have their numbers, counted from 1. */
  readonly #maps: LiveMap[] = [];
  readonly #cells = new Map<string, Cell>();
  #nextCell = FIRST_CELL;
  #tailCall: number | undefined;

  /** @throws {MapError} if a spec is one its map type refuses */
  constructor(maps: readonly MapSpec[] = [], facts: Partial<WorldFacts> = {}) {
    const all = { ...FIXED_FACTS, ...facts };
    this.nowNs = all.nowNs;
    this.tickNs = all.tickNs;
    this.random32 = all.random32;
    this.pidTgid = all.pidTgid;
    this.uidGid = all.uidGid;
    this.comm = all.comm;
    this.cpu = all.cpu;
    this.functionIp = all.functionIp;
    this.attachCookie = all.attachCookie;
    this.print = all.print;
    for (const [index, spec] of maps.entries()) this.#addMap(spec, FIRST_MAP + BigInt(index) * DISTANCE);
  }

  /** A map's host side, in step with all that programs have written. @throws {VmError} VM_BAD_MAP */
  map(name: string): HostMap {
    this.#settle();
    return this.#named(name).host;
  }

  /** What a linked lddw loads. @throws {VmError} VM_BAD_MAP, VM_UNSUPPORTED */
  resolve(reference: Reference): bigint {
    switch (reference.kind) {
      case 'map':
        return this.#named(reference.map).address;
      case 'mapValue':
        return this.#named(reference.map).address + BigInt(reference.offset);
      case 'function':
        return FIRST_FUNCTION + BigInt(reference.insn);
    }
  }

  /** Index of the first instruction of the function that `resolve` gave that number. */
  functionAt(address: bigint): number {
    return Number(address - FIRST_FUNCTION);
  }

  mapSizes(handle: bigint): MapSpec {
    return this.#live(handle).spec;
  }

  mapLookup(handle: bigint, key: Uint8Array, slot = 0): bigint {
    this.#settle();
    const map = this.#live(handle);
    const value = map.host.lookup(key, slot);
    if (value === undefined) return 0n;
    if (mapTypeOf(map.spec).holds === 'maps') return this.#maps[viewOf(value).getUint32(0, true) - 1]?.address ?? 0n;
    const found = map.host.matching?.(key) ?? key;
    const name = `${handle} ${slot} ${toHex(found)}`;
    const cell = this.#cells.get(name) ?? this.#newCell(map, found.slice(), slot, value);
    this.#cells.set(name, cell);
    return cell.region.address;
  }

  mapEach(handle: bigint, visit: (key: bigint, value: bigint) => 'go on' | 'stop'): number {
    this.#settle();
    let count = 0;
    for (const [key] of [...this.#live(handle).host.entries()]) {
      const value = this.mapLookup(handle, key);
      if (value === 0n) continue;
      count++;
      if (this.withBytes(key, (address) => visit(address, value)) === 'stop') break;
    }
    return count;
  }

  withBytes<T>(bytes: Uint8Array, body: (address: bigint) => T): T {
    const region = this.memory.map(this.#nextCell, bytes);
    this.#nextCell += DISTANCE;
    try {
      return body(region.address);
    } finally {
      this.memory.unmap(region);
    }
  }

  mapUpdate(handle: bigint, key: Uint8Array, value: Uint8Array, flags: bigint): number {
    this.#settle();
    const result = this.#live(handle).host.update(key, value, flags);
    this.#refresh();
    return result;
  }

  mapDelete(handle: bigint, key: Uint8Array): number {
    this.#settle();
    const result = this.#live(handle).host.delete(key);
    this.#refresh();
    return result;
  }

  mapHost(handle: bigint): HostMap {
    return this.#live(handle).host;
  }

  tailCall(handle: bigint, index: number): void {
    const key = new Uint8Array(Uint32Array.of(index).buffer);
    const number = this.#live(handle).host.lookup(key);
    this.#tailCall = number && viewOf(number).getUint32(0, true);
  }

  /** The number of the program that a helper wants to go on, once. */
  takeTailCall(): number | undefined {
    const number = this.#tailCall;
    this.#tailCall = undefined;
    return number;
  }

  #addMap(spec: MapSpec, address: bigint): void {
    const type = mapTypeOf(spec);
    type.check(spec);
    const memory = mapMemory(new Uint8Array(type.size(spec)));
    type.init(memory, spec);
    this.memory.map(address, memory.bytes);
    const map = { spec, address, host: type.host(memory, spec) };
    this.#byName.set(spec.name, map);
    this.#byHandle.set(address, map);
    this.#maps.push(map);
  }

  #named(name: string): LiveMap {
    const map = this.#byName.get(name);
    if (map === undefined) throw new VmError('VM_BAD_MAP', `there is no map '${name}'`);
    return map;
  }

  #live(handle: bigint): LiveMap {
    const map = this.#byHandle.get(handle);
    if (map === undefined) throw new VmError('VM_BAD_MAP', `0x${handle.toString(16)} is not a map`);
    return map;
  }

  #newCell(map: LiveMap, key: Uint8Array, slot: number, value: Uint8Array): Cell {
    const region = this.memory.map(this.#nextCell, value.slice());
    this.#nextCell += DISTANCE;
    return { map, key, slot, region, known: value };
  }

  /** Brings what programs wrote through pointers into the maps, then what changed in the maps back to the pointers. */
  #settle(): void {
    for (const { map, key, slot, region, known } of this.#cells.values()) {
      if (!sameBytes(region.bytes, known)) map.host.update(key, region.bytes.slice(), BigInt(UpdateFlag.EXIST), slot);
    }
    this.#refresh();
  }

  /** A cell whose key is gone stays mapped, as the kernel keeps the memory while the program runs, but is cut off. */
  #refresh(): void {
    for (const [name, cell] of this.#cells) {
      const value = isThere(cell) ? cell.map.host.lookup(cell.key, cell.slot) : undefined;
      if (value === undefined) {
        this.#cells.delete(name);
      } else {
        cell.region.bytes.set(value);
        cell.known = value;
      }
    }
  }
}

/** Not where a lookup finds another entry in its place. */
function isThere({ map, key }: Cell): boolean {
  if (map.host.matching === undefined) return true;
  const found = map.host.matching(key);
  return found !== undefined && sameBytes(found, key);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, index) => byte === b[index]);
}
