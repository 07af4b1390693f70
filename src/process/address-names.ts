/** What lies at an address of a process, as people call it: `function+0x1c (libc.so.6)`. */
import { demangle } from '../elf/demangle/demangle.ts';
import type { ElfFunction } from '../elf/functions.ts';
import { BpfError } from '../errors.ts';
import type { Module } from './module.ts';
import type { TargetProcess } from './target-process.ts';

/** Names kept of processes that may be gone; a target that makes up addresses without end has the oldest forgotten. */
const MOST_KNOWN = 65_536;

/** Addresses of several processes. The first that has a name for one gives it; what was named once stays named. */
export class AddressNames {
  readonly #processes = new Map<TargetProcess, ProcessNames>();
  readonly #known = new Map<bigint, string>();

  /** Asks this process too, from now on. */
  add(process: TargetProcess): void {
    this.#processes.set(process, new ProcessNames(process));
  }

  /** Asks it no more, once it has named what is `held`. */
  remove(process: TargetProcess, held: Iterable<bigint>): void {
    for (const address of held) this.nameOf(address);
    this.#processes.delete(process);
  }

  /** The name of an address; the number itself if no process has one. */
  nameOf(address: bigint): string {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    for (const names of this.#processes.values()) {
      const name = names.nameOf(address);
      if (name !== undefined) return this.#know(address, name);
    }
    return `0x${address.toString(16)}`;
  }

  #know(address: bigint, name: string): string {
    this.#known.set(address, name);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value!);
    return name;
  }
}

/** Addresses of one process. */
class ProcessNames {
  readonly #process: TargetProcess;
  readonly #sorted = new WeakMap<Module, readonly ElfFunction[]>();
  #modules: readonly Module[] = [];

  constructor(process: TargetProcess) {
    this.#process = process;
  }

  /** Undefined if no file is mapped there, or the process has ended. */
  nameOf(address: bigint): string | undefined {
    try {
      return this.#find(address);
    } catch (error) {
      // It has ended, or its file is nothing that names can be read from.
      if (error instanceof BpfError) return undefined;
      throw error;
    }
  }

  #find(address: bigint): string | undefined {
    const holds = (module: Module): boolean => module.holdsCode(address);
    let module = this.#modules.find(holds);
    if (module === undefined) {
      this.#modules = this.#process.modules();
      module = this.#modules.find(holds);
    }
    if (module === undefined) return undefined;
    const inFile = address - module.bias;
    const fn = this.#functionAt(module, inFile);
    if (fn === undefined) return `${module.name}+0x${inFile.toString(16)}`;
    const distance = inFile - fn.value;
    return `${demangle(fn.name)?.name ?? fn.name}${distance === 0n ? '' : `+0x${distance.toString(16)}`} (${module.name})`;
  }

  /** The function that holds an address of the file; one of unknown size ends with itself. */
  #functionAt(module: Module, address: bigint): ElfFunction | undefined {
    let sorted = this.#sorted.get(module);
    if (sorted === undefined) {
      sorted = [...module.functions].sort((a, b) => (a.value < b.value ? -1 : Number(a.value > b.value)));
      this.#sorted.set(module, sorted);
    }
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]!.value <= address) low = middle + 1;
      else high = middle;
    }
    // Of several that begin there any name is as good.
    const before = sorted[low - 1];
    return before !== undefined && address < before.value + BigInt(Math.max(1, before.size)) ? before : undefined;
  }
}
