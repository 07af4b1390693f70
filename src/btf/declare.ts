/** BTF of structures that are declared here, in the words of C, laid out as a compiler would. */
import { alignUp } from '../bytes/align.ts';
import { type Btf, readBtf } from './btf.ts';
import { type BtfKind, KINDS } from './type.ts';
import { BtfStrings, writeBtf } from './write.ts';

/**
 * Fields by name, types as in C: `u32`, `char[16]`, `task_struct *`, or another declared structure, `ns_common`. An object in place of
 * a type is an anonymous union of its fields.
 */
export interface Declaration {
  readonly [field: string]: string | Declaration;
}

interface Numeric {
  readonly size: number;
  readonly signed: boolean;
}

const NUMBERS: Readonly<Record<string, Numeric>> = {
  char: { size: 1, signed: true },
  u8: { size: 1, signed: false },
  u16: { size: 2, signed: false },
  s32: { size: 4, signed: true },
  u32: { size: 4, signed: false },
  s64: { size: 8, signed: true },
  u64: { size: 8, signed: false },
};

const INT_SIGNED = 1 << 24;
const POINTER_SIZE = 8;

interface Laid {
  readonly id: number;
  readonly size: number;
  readonly align: number;
}

/**
 * Declares structures. One that is a field of another stands in front of it; pointers may lead to any, and to `void`.
 *
 * @throws {TypeError} if a type is not declared
 */
export function declareTypes(structures: Readonly<Record<string, Declaration>>): Btf {
  return new Declarer(structures).finish();
}

class Declarer {
  readonly #structures: Readonly<Record<string, Declaration>>;
  readonly #types: number[][] = [];
  readonly #laid = new Map<string, Laid>();
  /** Words that are to hold the id of a structure declared later. */
  readonly #pending: { readonly type: number; readonly name: string }[] = [];
  readonly #strings = new BtfStrings();

  constructor(structures: Readonly<Record<string, Declaration>>) {
    this.#structures = structures;
    for (const [name, { size, signed }] of Object.entries(NUMBERS)) {
      const id = this.#add('int', name, size, [(signed ? INT_SIGNED : 0) | (size * 8)]);
      this.#laid.set(name, { id, size, align: size });
    }
    for (const [name, fields] of Object.entries(structures))
      this.#laid.set(name, this.#compose('struct', name, fields));
  }

  finish(): Btf {
    for (const { type, name } of this.#pending) this.#types[type - 1]![2] = this.#laid.get(name)!.id;
    return readBtf(writeBtf(this.#types.flat(), this.#strings));
  }

  #compose(kind: 'struct' | 'union', name: string, fields: Declaration): Laid {
    const rows: number[] = [];
    let end = 0;
    let align = 1;
    for (const [field, type] of Object.entries(fields)) {
      const laid = this.#fieldType(type);
      const offset = kind === 'union' ? 0 : alignUp(end, laid.align);
      rows.push(typeof type === 'string' ? this.#strings.add(field) : 0, laid.id, offset * 8);
      end = Math.max(end, offset + laid.size);
      align = Math.max(align, laid.align);
    }
    const size = alignUp(end, align);
    return { id: this.#add(kind, name, size, rows, rows.length / 3), size, align };
  }

  #fieldType(type: string | Declaration): Laid {
    if (typeof type !== 'string') return this.#compose('union', '', type);
    const known = this.#laid.get(type);
    if (known !== undefined) return known;
    const { element, count, pointee } =
      /^(?:(?<element>\w+)\[(?<count>\d+)\]|(?<pointee>\w+) \*)$/.exec(type)?.groups ?? {};
    const laid = pointee !== undefined ? this.#pointer(pointee) : this.#array(element, Number(count));
    if (laid === undefined) throw new TypeError(`type '${type}' is not declared`);
    this.#laid.set(type, laid);
    return laid;
  }

  #pointer(pointee: string): Laid | undefined {
    if (pointee !== 'void' && !Object.hasOwn(this.#structures, pointee)) return undefined;
    const id = this.#add('ptr', '', 0);
    if (pointee !== 'void') this.#pending.push({ type: id, name: pointee });
    return { id, size: POINTER_SIZE, align: POINTER_SIZE };
  }

  #array(name: string | undefined, count: number): Laid | undefined {
    const element = name === undefined ? undefined : this.#laid.get(name);
    if (element === undefined) return undefined;
    const id = this.#add('array', '', 0, [element.id, this.#laid.get('u32')!.id, count]);
    return { id, size: element.size * count, align: element.align };
  }

  /** @returns the id of the type */
  #add(kind: BtfKind, name: string, sizeOrType: number, rows: number[] = [], vlen = 0): number {
    const number = KINDS.findIndex((row) => row.kind === kind);
    this.#types.push([name === '' ? 0 : this.#strings.add(name), (number << 24) | vlen, sizeOrType, ...rows]);
    return this.#types.length;
  }
}
