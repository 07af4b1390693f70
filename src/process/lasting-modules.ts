/**
 * Which modules stay as long as their process does: the program, its linker, and what the program needs, directly or through
 * others. All else was loaded on demand and may be unloaded. What a module needs is read from memory: files may be large.
 * Source: System V ABI, "Dynamic Section"; dlclose(3).
 */
import { cString } from '../bytes/c-string.ts';
import { viewOf } from '../bytes/struct.ts';
import { DynamicTag } from '../elf/dynamic.ts';
import { Ehdr } from '../elf/header.ts';
import { Phdr, SegmentType } from '../elf/segments.ts';
import { readAuxiliaryVector } from '../sys/auxiliary-vector.ts';
import { isSysError } from '../sys/errors.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import type { Module } from './module.ts';

/** What no sound file exceeds: the memory is the target's. */
const [MAX_PHDRS, MAX_DYNAMIC, LONGEST_NAME] = [64, 64 * 1024, 4096];

/** Knows of one process what lasts; what is found stays true as long as its program does. */
export class LastingModules {
  readonly #procId: () => number;
  readonly #memory: ProcessMemory;
  /** Names of libraries by which lasting modules ask for others, and paths of those that have been looked at. */
  readonly #needed = new Set<string>();
  readonly #asked = new Set<string>();
  readonly #known = new WeakMap<Module, boolean>();

  /** @param procId gives a number under which /proc shows the process */
  constructor(procId: () => number, memory: ProcessMemory) {
    this.#procId = procId;
    this.#memory = memory;
  }

  /**
   * False if `module` may be unloaded one day.
   *
   * @param modules gives all that are mapped
   * @throws {SysError} if the process has ended
   */
  includes(module: Module, modules: () => readonly Module[]): boolean {
    const known = this.#known.get(module) ?? this.#isLasting(module, modules());
    this.#known.set(module, known);
    return known;
  }

  #isLasting(module: Module, modules: readonly Module[]): boolean {
    if (module.path === '[vdso]') return true;
    const { linkerBase, entry } = readAuxiliaryVector(this.#procId());
    const isRoot = (one: Module): boolean => one.holdsCode(entry) || one.start === linkerBase;
    if (isRoot(module)) return true;
    let found = modules.filter(isRoot);
    while (found.length > 0) {
      for (const one of found) this.#ask(one);
      if (this.#isNeeded(module)) return true;
      found = modules.filter((one) => !this.#asked.has(one.path) && this.#isNeeded(one));
    }
    return false;
  }

  /** A file may have more of a version in its name than what asks for it: libstdc++.so.6 is libstdc++.so.6.0.30. */
  #isNeeded({ name, path }: Module): boolean {
    return [...this.#needed].some((needed) => name === needed || path === needed || name.startsWith(`${needed}.`));
  }

  #ask(module: Module): void {
    this.#asked.add(module.path);
    try {
      for (const name of neededBy(module, this.#memory)) this.#needed.add(name);
    } catch (error) {
      // What cannot be read needs nothing that we know of.
      if (!isSysError(error, 'SYS_EIO')) throw error;
    }
  }
}

function* neededBy({ start, end }: Module, memory: ProcessMemory): Generator<string> {
  const { phoff, phnum } = Ehdr.read(memory.read(start, Ehdr.size));
  if (phnum > MAX_PHDRS || phoff > end - start) return;
  const table = memory.read(start + phoff, phnum * Phdr.size);
  const segments = Array.from({ length: phnum }, (_, n) => Phdr.read(table, n * Phdr.size));
  const first = segments.find(({ type }) => type === SegmentType.LOAD);
  const dynamic = segments.find(({ type }) => type === SegmentType.DYNAMIC);
  if (first === undefined || dynamic === undefined) return;
  const bias = start - (first.vaddr - first.offset);
  const size = Math.min(Number(dynamic.memsz), MAX_DYNAMIC);
  const words = viewOf(memory.read(bias + dynamic.vaddr, size));
  const names: bigint[] = [];
  let strings: bigint | undefined;
  for (let at = 0; at + 16 <= size; at += 16) {
    const [tag, value] = [words.getBigUint64(at, true), words.getBigUint64(at + 8, true)];
    if (tag === DynamicTag.NULL) break;
    if (tag === DynamicTag.NEEDED) names.push(value);
    // glibc writes the address there, musl leaves what the file has.
    if (tag === DynamicTag.STRTAB) strings = value >= start && value < end ? value : value + bias;
  }
  if (strings === undefined) return;
  for (const at of names) {
    const name = cString(memory.readUpTo(strings + at, LONGEST_NAME), 0);
    if (name !== undefined) yield name;
  }
}
