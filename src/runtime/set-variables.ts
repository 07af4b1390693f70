/**
 * Global variables of an object get values before its programs are checked: what the program that comes with an object sets in its
 * skeleton. Constants (`const volatile`) are known to the verifier and the compiler then.
 */
import type { Btf } from '../btf/btf.ts';
import type { BtfType } from '../btf/type.ts';
import { sectionVariables, type Variable } from '../btf/variables.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { ObjectSpec } from '../object/spec.ts';
import { RuntimeError } from './errors.ts';

/** A number, also as text (`-1`, `0x100`), `true`, `false`, an enumerator's name, or the text of an array of characters. */
export type VariableValue = string | number | bigint;

const SECTIONS = /^\.(?:rodata|data|bss)(?:\.|$)/;

/** The maps of the object, those of its variables with other contents. @throws {RuntimeError} RUNTIME_NO_VARIABLE, RUNTIME_BAD_VARIABLE */
export function setVariables(
  { maps, btf }: Pick<ObjectSpec, 'maps' | 'btf'>,
  values: ReadonlyMap<string, VariableValue> = new Map(),
): readonly MapSpec[] {
  if (values.size === 0) return maps;
  const places = btf === undefined ? [] : maps.flatMap((map) => variablesOf(map, btf));
  const contents = new Map<MapSpec, Uint8Array>();
  for (const [name, value] of values) {
    const [place, ...others] = places.filter(({ variable }) => variable.name === name);
    if (btf === undefined || place === undefined || others.length > 0) {
      const found = place === undefined ? 'none' : `${1 + others.length}`;
      throw new RuntimeError('RUNTIME_NO_VARIABLE', `cannot set ${name}: the object has ${found} of that name`, {
        why: `it has ${[...new Set(places.map(({ variable }) => variable.name))].join(', ') || 'no global variables'}`,
      });
    }
    const { map, variable } = place;
    const to = contents.get(map) ?? new Uint8Array(map.valueSize);
    if (!contents.has(map)) to.set(map.initialValue ?? []);
    contents.set(map, to);
    to.subarray(variable.offset, variable.offset + variable.size).set(encode(btf, variable, value));
  }
  return maps.map((map) => {
    const initialValue = contents.get(map);
    return initialValue === undefined ? map : { ...map, initialValue };
  });
}

function variablesOf(map: MapSpec, btf: Btf): { readonly map: MapSpec; readonly variable: Variable }[] {
  if (!SECTIONS.test(map.name) || map.valueTypeId === 0) return [];
  return sectionVariables(btf, map.valueTypeId)
    .filter(({ offset, size }) => offset + size <= map.valueSize)
    .map((variable) => ({ map, variable }));
}

/** Exactly as many bytes as the variable has. */
function encode(btf: Btf, { name, typeId, size }: Variable, value: VariableValue): Uint8Array {
  const type = btf.resolve(typeId);
  const bytes = type.kind === 'array' ? encodeText(btf, type, size, value) : encodeNumber(type, size, value);
  if (bytes !== undefined) return bytes;
  throw new RuntimeError(
    'RUNTIME_BAD_VARIABLE',
    `cannot set ${name} to ${JSON.stringify(String(value))}: it is declared as ${type.kind} of ${size} bytes`,
  );
}

/** With a NUL behind it. */
function encodeText(btf: Btf, type: BtfType & { kind: 'array' }, size: number, value: VariableValue) {
  const text = new TextEncoder().encode(String(value));
  if (btf.sizeOf(type.type) !== 1 || text.length >= size) return undefined;
  const bytes = new Uint8Array(size);
  bytes.set(text);
  return bytes;
}

function encodeNumber(type: BtfType, size: number, value: VariableValue): Uint8Array | undefined {
  const number = size <= 8 ? numberOf(type, value) : undefined;
  if (number === undefined) return undefined;
  const bits = size * 8;
  // A variable without a sign takes -1 as all its bits.
  if (number !== BigInt.asIntN(bits, number) && number !== BigInt.asUintN(bits, number)) return undefined;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, number), true);
  return bytes.subarray(0, size);
}

function numberOf(type: BtfType, value: VariableValue): bigint | undefined {
  if (type.kind === 'enum' || type.kind === 'enum64') {
    const named = type.enumerators.find(({ name }) => name === value);
    if (named !== undefined) return BigInt(named.value);
  } else if (type.kind !== 'int' && type.kind !== 'ptr') {
    return undefined;
  }
  const number = parse(value);
  return type.kind === 'int' && type.bool && number !== 0n && number !== 1n ? undefined : number;
}

function parse(value: VariableValue): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  if (value === 'true' || value === 'false') return value === 'true' ? 1n : 0n;
  const { minus, digits } = /^(?<minus>-?)(?<digits>\d+|0x[0-9a-f]+)$/i.exec(value)?.groups ?? {};
  if (digits === undefined) return undefined;
  return minus === '-' ? -BigInt(digits) : BigInt(digits);
}
