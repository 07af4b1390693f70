/** Global variables of a data section, as its BTF datasec lists them. */
import type { Btf, TypeOf } from './btf.ts';
import { BtfError } from './errors.ts';
import type { BtfKind, BtfType } from './type.ts';

/** A global variable. */
export interface Variable {
  readonly name: string;
  /** Bytes from the start of the section. */
  readonly offset: number;
  readonly size: number;
  /** Id of its type. */
  readonly typeId: number;
}

/**
 * The variables of a section, in order of their addresses.
 *
 * @param datasec id of the section's `datasec`: `MapSpec.valueTypeId` of a data map
 * @throws {BtfError} BTF_BAD_KIND, and what reading a malformed type throws
 */
export function sectionVariables(btf: Btf, datasec: number): Variable[] {
  const section = btf.type(datasec);
  if (section.kind !== 'datasec') throw badKind(datasec, section.kind, 'datasec');
  return section.variables
    .map(({ type, offset, size }) => {
      const variable = btf.type(type);
      if (variable.kind !== 'var') throw badKind(type, variable.kind, 'var');
      return { name: variable.name, offset, size, typeId: variable.type };
    })
    .sort((a, b) => a.offset - b.offset);
}

/** Where a variable lies, if not where the section says. */
export interface PlacedVariable {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/**
 * The types of `btf`, with the variables of one section elsewhere: the compiler gives those that an object only declares no
 * place.
 *
 * @throws {BtfError} BTF_BAD_KIND
 */
export function placeVariables(btf: Btf, datasec: number, variables: readonly PlacedVariable[]): Btf {
  const section = btf.type(datasec);
  if (section.kind !== 'datasec') throw badKind(datasec, section.kind, 'datasec');
  const places = new Map(variables.map((variable) => [variable.name, variable]));
  const placed: BtfType = {
    ...section,
    size: variables.reduce((end, { offset, size }) => Math.max(end, offset + size), 0),
    variables: section.variables.map((entry) => {
      const variable = btf.type(entry.type);
      const { offset, size } = (variable.kind === 'var' ? places.get(variable.name) : undefined) ?? entry;
      return { ...entry, offset, size };
    }),
  };
  return new PlacedBtf(btf, datasec, placed);
}

/** The same types but for one. */
class PlacedBtf implements Btf {
  readonly #btf: Btf;
  readonly #id: number;
  readonly #type: BtfType;

  constructor(btf: Btf, id: number, type: BtfType) {
    this.#btf = btf;
    this.#id = id;
    this.#type = type;
  }

  get count(): number {
    return this.#btf.count;
  }

  get stringsSize(): number {
    return this.#btf.stringsSize;
  }

  type(id: number): BtfType {
    return id === this.#id ? this.#type : this.#btf.type(id);
  }

  byName<K extends BtfKind>(kind: K, name: string): { readonly id: number; readonly type: TypeOf<K> } | undefined {
    const found = this.#btf.byName(kind, name);
    return found?.id === this.#id ? { id: this.#id, type: this.#type as TypeOf<K> } : found;
  }

  resolve(id: number): BtfType {
    return id === this.#id ? this.#type : this.#btf.resolve(id);
  }

  sizeOf(id: number): number {
    return this.#type.kind === 'datasec' && id === this.#id ? this.#type.size : this.#btf.sizeOf(id);
  }

  text(offset: number): string {
    return this.#btf.text(offset);
  }
}

function badKind(id: number, kind: string, wanted: string): BtfError {
  return new BtfError(
    'BTF_BAD_KIND',
    `cannot read the variables of a section: BTF type ${id} is a ${kind}, wanted a ${wanted}`,
  );
}
