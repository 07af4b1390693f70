/** What lies where in an object: relocations name places by section and offset, and this says what is there. */
import type { CodeFunction } from './functions.ts';

/** Something that an instruction can refer to. */
export type Place =
  | { readonly kind: 'function'; readonly callee: CodeFunction }
  | { readonly kind: 'map'; readonly map: string }
  | { readonly kind: 'mapValue'; readonly map: string; readonly offset: number }
  /** A function of the kernel; its number is NO_KERNEL_FUNCTION if it is not here. */
  | { readonly kind: 'kernelFunction'; readonly name: string; readonly number: number }
  /** What is nowhere: the address of a weak symbol that nobody defines. */
  | { readonly kind: 'number'; readonly value: bigint };

/** Filled once, while the object is read. */
export class ObjectLayout {
  /** Functions and map definitions are referred to by their first byte only. */
  readonly #starts = new Map<string, Place>();
  /** Data sections are referred to byte by byte. */
  readonly #data = new Map<number, { readonly map: string; readonly size: number }>();

  addFunction(callee: CodeFunction): void {
    this.#starts.set(key(callee.section.index, callee.offset), { kind: 'function', callee });
  }

  addMap(section: number, offset: number, map: string): void {
    this.#starts.set(key(section, offset), { kind: 'map', map });
  }

  /** What is used here and defined nowhere, by name. */
  readonly #externs = new Map<string, { readonly place: Place; readonly size: number }>();

  readonly #kernelFunctions = new Map<string, Place>();

  addExtern(name: string, place: Place, size: number): void {
    this.#externs.set(name, { place, size });
  }

  /** What a symbol stands for that the object does not define, `offset` bytes on; undefined if nothing does. */
  extern(name: string, offset: number): Place | undefined {
    const found = this.#externs.get(name);
    if (found === undefined || offset < 0 || offset >= found.size) return undefined;
    return found.place.kind === 'mapValue' ? { ...found.place, offset: found.place.offset + offset } : found.place;
  }

  /** What calls of that name mean; undefined if it is not declared as a function of the kernel. */
  kernelFunction(name: string): Place | undefined {
    return this.#kernelFunctions.get(name);
  }

  addKernelFunction(name: string, number: number): void {
    this.#kernelFunctions.set(name, { kind: 'kernelFunction', name, number });
  }

  addData(section: number, size: number, map: string): void {
    this.#data.set(section, { map, size });
  }

  /** What is at a place; undefined if nothing is that could be referred to. */
  at(section: number, offset: number): Place | undefined {
    const data = this.#data.get(section);
    if (data === undefined) return this.#starts.get(key(section, offset));
    return offset >= 0 && offset < data.size ? { kind: 'mapValue', map: data.map, offset } : undefined;
  }
}

function key(section: number, offset: number): string {
  return `${section}:${offset}`;
}
