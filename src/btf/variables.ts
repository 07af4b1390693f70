/** Global variables of a data section, as its BTF datasec lists them. */
import type { Btf } from './btf.ts';
import { BtfError } from './errors.ts';

/** A global variable. */
export interface Variable {
  /** Of the variable itself. */
  readonly id: number;
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
      return { id: type, name: variable.name, offset, size, typeId: variable.type };
    })
    .sort((a, b) => a.offset - b.offset);
}

function badKind(id: number, kind: string, wanted: string): BtfError {
  return new BtfError(
    'BTF_BAD_KIND',
    `cannot read the variables of a section: BTF type ${id} is a ${kind}, wanted a ${wanted}`,
  );
}
