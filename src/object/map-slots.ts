/**
 * What an object puts into maps of programs and of maps: `.values = { &one, [3] = &two }` are relocations within `.maps`. Source: Linux
 * tools/lib/bpf/libbpf.c (bpf_object__collect_map_relos).
 */
import { viewOf } from '../bytes/struct.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import type { InitialSlot, MapSpec } from '../maps/map-type.ts';
import { ObjectError } from './errors.ts';
import type { ObjectLayout } from './layout.ts';
import type { MapDefinition } from './map-definitions.ts';
import { BpfRelocation, type Relocation, type Relocations } from './relocation.ts';

const POINTER_SIZE = 8;

/** The maps of `.maps`, with what their slots hold from the beginning. */
export interface FilledMaps {
  readonly maps: readonly MapSpec[];
  /** What is to be put where it cannot be. */
  readonly obstacles: readonly ObjectError[];
}

/** Reads the relocations of `.maps`; `layout` knows all maps and functions. @throws {ElfError} if they are malformed */
export function readMapSlots(
  elf: ElfFile,
  relocations: Relocations,
  definitions: readonly MapDefinition[],
  layout: ObjectLayout,
): FilledMaps {
  const section = elf.section('.maps');
  const slots = new Map<MapDefinition, InitialSlot[]>();
  const obstacles: ObjectError[] = [];
  const bytes = section === undefined ? new Uint8Array(0) : elf.data(section);
  for (const relocation of section === undefined ? [] : relocations.of(section)) {
    const found = slotOf(relocation, bytes, definitions, layout);
    if (found instanceof ObjectError) {
      obstacles.push(found);
      continue;
    }
    const known = slots.get(found.definition);
    if (known === undefined) slots.set(found.definition, [found.slot]);
    else known.push(found.slot);
  }
  const maps = definitions.map((definition) => {
    const initialSlots = slots.get(definition);
    return initialSlots === undefined ? definition.spec : { ...definition.spec, initialSlots };
  });
  return { maps, obstacles };
}

function slotOf(
  { offset, type, symbol }: Relocation,
  bytes: Uint8Array,
  definitions: readonly MapDefinition[],
  layout: ObjectLayout,
): { readonly definition: MapDefinition; readonly slot: InitialSlot } | ObjectError {
  const definition = definitions.findLast((one) => one.offset <= offset);
  if (definition === undefined || type !== BpfRelocation.ABS64 || offset + POINTER_SIZE > bytes.length) {
    const reason = `relocation of type ${type} at byte ${offset}, wanted 64-bit addresses in a map definition`;
    return new ObjectError('OBJECT_BAD_RELOCATION', `cannot relocate '.maps': ${reason}`);
  }
  const { spec, slots } = definition;
  const bad = (why: string): ObjectError =>
    new ObjectError('OBJECT_BAD_MAP', `cannot define map '${spec.name}': ${why}`);
  const index = slots === undefined ? -1 : (offset - slots) / POINTER_SIZE;
  if (!Number.isInteger(index) || index < 0) return bad(`it holds an address at byte ${offset}, which is no slot`);
  if (index >= spec.maxEntries) return bad(`slot ${index} is filled, there are ${spec.maxEntries}`);
  // Where the symbol is that of a section, what stands there says how far on.
  const addend = Number(viewOf(bytes).getBigUint64(offset, true));
  const place = layout.at(symbol.section, Number(symbol.value) + addend);
  const isOfMaps = spec.innerMap !== undefined;
  if (isOfMaps && place?.kind === 'map') return { definition, slot: { index, name: place.map } };
  if (!isOfMaps && place?.kind === 'function' && place.callee.isProgram)
    return { definition, slot: { index, name: place.callee.name } };
  return bad(`slot ${index} holds '${symbol.name}', wanted a ${isOfMaps ? 'map' : 'program'} of the object`);
}
