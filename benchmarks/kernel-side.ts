/** The kernel's side of the comparison: the same bytecode at a uprobe of the kernel. */
import { closeSync, readFileSync } from 'node:fs';
import { readElf } from '../src/elf/elf-file.ts';
import type { MapSpec } from '../src/maps/map-type.ts';
import type { ObjectSpec } from '../src/object/spec.ts';
import { createMap, loadProgram, mapValues, putIntoMap } from './kernel/bpf.ts';
import { KernelRing } from './kernel/ring.ts';
import { openUprobe } from './kernel/uprobe-event.ts';
import { type Side, sumOf } from './side.ts';

/** @param object whose programs are to run */
export function kernelSide(object: ObjectSpec): Side {
  return {
    name: 'kernel',
    serves: ['entry', 'return'],
    attach(probes, target, symbol) {
      const descriptors: number[] = [];
      const keep = (descriptor: number) => {
        descriptors.push(descriptor);
        return descriptor;
      };
      const close = () => {
        for (const descriptor of descriptors.splice(0).reverse()) closeSync(descriptor);
      };
      try {
        const maps = new Map(
          object.maps.map((spec) => {
            const inner = spec.innerMap && keep(createMap(spec.innerMap));
            return [spec.name, keep(createMap(spec, inner))];
          }),
        );
        const load = (program: string): number =>
          keep(loadProgram(object.programs.find(({ name }) => name === program)!, object.license, maps));
        fillSlots(object.maps, maps, load, new Set(probes.map(({ program }) => program)));
        const offset = fileOffsetOf(symbol, target.path);
        for (const { program, at } of probes) {
          const loaded = load(program);
          keep(openUprobe(loaded, { pid: target.pid, path: target.path, offset, at }));
        }
        return {
          pauseUs: undefined,
          hits: () => undefined,
          sum: (map) => sumOf(mapValues(maps.get(map)!, object.maps.find(({ name }) => name === map)!)),
          ring(map) {
            const ring = new KernelRing(maps.get(map)!, object.maps.find(({ name }) => name === map)!.maxEntries);
            return {
              consume: (visit) => ring.consume(visit),
              lost: () => undefined,
              [Symbol.dispose]: () => ring[Symbol.dispose](),
            };
          },
          [Symbol.dispose]: close,
        };
      } catch (error) {
        close();
        throw error;
      }
    },
  };
}

/** Puts maps and programs where the object says; programs only for those of them that are to run. */
function fillSlots(
  specs: readonly MapSpec[],
  maps: ReadonlyMap<string, number>,
  load: (program: string) => number,
  running: ReadonlySet<string>,
): void {
  for (const { name, initialSlots = [] } of specs) {
    const areMaps = initialSlots.every((slot) => maps.has(slot.name));
    if (!areMaps && !initialSlots.some((slot) => running.has(slot.name))) continue;
    for (const slot of initialSlots) putIntoMap(maps.get(name)!, slot.index, maps.get(slot.name) ?? load(slot.name));
  }
}

function fileOffsetOf(symbol: string, path: string): number {
  const elf = readElf(readFileSync(path));
  const found = elf.findSymbol(symbol);
  const offset = found && elf.vaddrToFileOffset(found.value);
  if (offset === undefined) throw new Error(`cannot find ${symbol} in ${path}: no such symbol`);
  return offset;
}
