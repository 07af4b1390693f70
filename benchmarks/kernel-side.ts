/** The kernel's side of the comparison: the same bytecode at a uprobe of the kernel. */
import { closeSync, readFileSync } from 'node:fs';
import { readElf } from '../src/elf/elf-file.ts';
import type { ObjectSpec } from '../src/object/spec.ts';
import { createMap, loadProgram, mapValues } from './kernel/bpf.ts';
import { openUprobe } from './kernel/uprobe-event.ts';
import { type Side, sumOf } from './side.ts';

/** @param object whose programs are to run */
export function kernelSide(object: ObjectSpec): Side {
  return {
    name: 'kernel',
    attach(programName, target, symbol) {
      const program = object.programs.find(({ name }) => name === programName)!;
      const descriptors: number[] = [];
      const keep = (descriptor: number) => {
        descriptors.push(descriptor);
        return descriptor;
      };
      const close = () => {
        for (const descriptor of descriptors.splice(0).reverse()) closeSync(descriptor);
      };
      try {
        const maps = new Map(object.maps.map((spec) => [spec.name, keep(createMap(spec))]));
        const loaded = keep(loadProgram(program, object.license, maps));
        keep(openUprobe(loaded, target.pid, target.path, fileOffsetOf(symbol, target.path)));
        return {
          pauseUs: undefined,
          hits: () => undefined,
          sum: (map) => sumOf(mapValues(maps.get(map)!, object.maps.find(({ name }) => name === map)!)),
          [Symbol.dispose]: close,
        };
      } catch (error) {
        close();
        throw error;
      }
    },
  };
}

function fileOffsetOf(symbol: string, path: string): number {
  const elf = readElf(readFileSync(path));
  const found = elf.findSymbol(symbol);
  const offset = found && elf.vaddrToFileOffset(found.value);
  if (offset === undefined) throw new Error(`cannot find ${symbol} in ${path}: no such symbol`);
  return offset;
}
