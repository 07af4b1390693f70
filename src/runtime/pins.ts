/**
 * Maps that outlive their object: those that ask to be pinned by their name (LIBBPF_PIN_BY_NAME) begin with what a file holds, and
 * are written to it when the object is disposed of. The file is a copy, so that nothing that happens to it reaches a target; as long
 * as an object has it nobody else gets it.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BpfMap } from './bpf-map.ts';
import { RuntimeError } from './errors.ts';
import { PinFile } from './pin-file.ts';

/** The pinned maps of one object. */
export class Pins implements Disposable {
  readonly #pins: (readonly [BpfMap, PinFile])[] = [];

  /** @throws {RuntimeError} RUNTIME_PIN_IN_USE, RUNTIME_PIN_MISMATCH, RUNTIME_PIN_REFUSED; none is taken then */
  constructor(directory: string, maps: readonly BpfMap[]) {
    try {
      for (const map of maps) {
        if (map.spec.pinned) this.#pins.push([map, open(directory, map)]);
      }
    } catch (error) {
      for (const [, file] of this.#pins) file[Symbol.dispose]();
      throw error;
    }
  }

  /** Writes them all, and lets go of the files. @throws {RuntimeError} RUNTIME_PIN_REFUSED of the first that failed */
  [Symbol.dispose](): void {
    const errors: unknown[] = [];
    for (const [map, file] of this.#pins.splice(0)) {
      try {
        file.write(map);
      } catch (error) {
        errors.push(error);
      } finally {
        file[Symbol.dispose]();
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** What names of maps are in C: no paths. */
const NAME = /^\w+$/;

function open(directory: string, map: BpfMap): PinFile {
  if (!NAME.test(map.name)) {
    throw new RuntimeError('RUNTIME_PIN_REFUSED', `cannot pin map ${map.name}: its name is no name of a file`);
  }
  try {
    if (!existsSync(directory)) mkdirSync(directory, 0o700);
    if (!statSync(directory).isDirectory()) throw new Error(`${directory} is no directory`);
  } catch (error) {
    const reason = `cannot pin map ${map.name}: ${(error as Error).message}`;
    throw new RuntimeError('RUNTIME_PIN_REFUSED', reason, { cause: error });
  }
  const file = new PinFile(join(directory, map.name), map);
  try {
    file.read(map);
    return file;
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}
