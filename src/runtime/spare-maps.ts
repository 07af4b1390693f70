/**
 * Maps that the host makes while programs run, to be put into maps of maps. What programs do to a map out of a map is compiled for each
 * that there may be, so there is room for a number of them from the beginning; pages of it that nobody uses take no memory. One that is
 * dropped is made again once no program can have it still.
 */
import type { MapSpec } from '../maps/map-type.ts';
import type { BpfMap } from './bpf-map.ts';
import { RuntimeError } from './errors.ts';

/**
 * The maps of an object, and behind them room for others.
 *
 * @param counts how many a map of maps is to have, by its name
 * @throws {RuntimeError} RUNTIME_NO_MAP
 */
export function withSpares(maps: readonly MapSpec[], counts: ReadonlyMap<string, number>): readonly MapSpec[] {
  const spares = [...counts].flatMap(([name, count]) => {
    const outer = maps.find((map) => map.name === name);
    const template = outer?.innerMap;
    if (template === undefined) {
      const what = outer === undefined ? 'there is no such map' : 'it is no map of maps';
      throw new RuntimeError('RUNTIME_NO_MAP', `cannot make room for maps of ${name}: ${what}`);
    }
    return Array.from({ length: count }, (_, number) => ({ ...template, name: spareName(name, number) }));
  });
  return [...maps, ...spares];
}

/** No name of C: the object has no such map. */
function spareName(outer: string, number: number): string {
  return `${outer}[${number}]`;
}

/** The room of one object. */
export class SpareMaps {
  readonly #maps: readonly BpfMap[];
  readonly #isQuiet: () => boolean;
  /** By name of the map of maps. */
  readonly #free = new Map<string, BpfMap[]>();
  readonly #made = new Map<BpfMap, string>();

  /**
   * @param maps of the object
   * @param isQuiet waits until no program runs that began before; false if one does not end
   */
  constructor(maps: readonly BpfMap[], counts: ReadonlyMap<string, number>, isQuiet: () => boolean) {
    this.#maps = maps;
    this.#isQuiet = isQuiet;
    for (const [outer, count] of counts) {
      const names = Array.from({ length: count }, (_, number) => spareName(outer, number));
      this.#free.set(
        outer,
        names.map((name) => maps.find((map) => map.name === name)!),
      );
    }
  }

  /** An empty map of the shape of those in `outer`. @throws {RuntimeError} RUNTIME_NO_SPARE */
  make(outer: string): BpfMap {
    const map = this.#free.get(outer)?.shift();
    if (map !== undefined) {
      map.clear();
      this.#made.set(map, outer);
      return map;
    }
    const count = [...this.#made.values()].filter((name) => name === outer).length;
    throw new RuntimeError('RUNTIME_NO_SPARE', `cannot make a map for ${outer}: there is room for ${count}`, {
      why: 'what programs do to it was compiled for so many',
      fix: `say how many there may be: openObject(file, { innerMaps: new Map([['${outer}', ${2 * count + 1}]]) })`,
    });
  }

  /**
   * Takes a map out of wherever it is, and waits until no program has it any more. What it holds is final then, and stays until it is made
   * again.
   *
   * @throws {RuntimeError} RUNTIME_MAP_IN_USE if a program does not end: it is nowhere any more, and may be dropped again
   */
  drop(map: BpfMap): void {
    const outer = this.#made.get(map);
    if (outer === undefined) throw new TypeError(`cannot drop map ${map.name}: it was not made while programs run`);
    for (const holder of this.#maps) if (holder.holds === 'maps') holder.takeOut(map);
    if (!this.#isQuiet()) {
      throw new RuntimeError(
        'RUNTIME_MAP_IN_USE',
        `cannot drop map ${map.name}: a program that may have it does not end`,
      );
    }
    this.#made.delete(map);
    this.#free.get(outer)!.push(map);
  }
}
