/**
 * Map definitions of before BTF, which tools in Go and Rust still have: each symbol in a section `maps`, or `maps/NAME`, is a
 * struct bpf_map_def. Loaders put fields of their own behind it; those are zeros where they ask for nothing.
 * Source: libbpf 0.8, bpf_object__init_user_maps; cilium/ebpf, elf_reader.go, loadMaps.
 */
import { struct } from '../bytes/struct.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import type { Section } from '../elf/sections.ts';
import { SymbolType } from '../elf/symbols.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { ObjectError } from './errors.ts';
import type { ObjectLayout } from './layout.ts';

const BpfMapDef = struct('bpf_map_def', 20, {
  type: 'u32',
  keySize: 'u32',
  valueSize: 'u32',
  maxEntries: 'u32',
  flags: 'u32',
});

/** In the order of the file; `layout` is told where they lie. @throws {ObjectError} OBJECT_BAD_MAP */
export function readLegacyMaps(elf: ElfFile, layout: ObjectLayout): MapSpec[] {
  const sections = elf.sections.filter(({ name, size }) => size > 0 && /^maps(?:\/|$)/.test(name));
  return sections.flatMap((section) => readSection(elf, section, layout));
}

function readSection(elf: ElfFile, section: Section, layout: ObjectLayout): MapSpec[] {
  const data = elf.data(section);
  const symbols = [...(elf.symtab ?? [])]
    .filter((symbol) => symbol.section === section.index && symbol.type !== SymbolType.SECTION)
    .map(({ name, value }) => ({ name, offset: Number(value) }))
    .sort((a, b) => a.offset - b.offset);
  return symbols.map(({ name, offset }, index) => {
    const bytes = data.subarray(offset, symbols[index + 1]?.offset ?? data.length);
    if (bytes.length < BpfMapDef.size) {
      throw badMap(name, `it has ${bytes.length} bytes, wanted the ${BpfMapDef.size} of struct bpf_map_def`);
    }
    const asked = bytes.findIndex((byte, at) => at >= BpfMapDef.size && byte !== 0);
    if (asked >= 0) throw badMap(name, `byte ${asked} is not 0: a field that only its own loader knows`);
    const spec = { name, ...BpfMapDef.read(bytes), keyTypeId: 0, valueTypeId: 0 };
    if (spec.type === 0) throw badMap(name, 'its type is missing');
    layout.addMap(section.index, offset, name);
    return spec;
  });
}

function badMap(map: string, why: string): ObjectError {
  return new ObjectError('OBJECT_BAD_MAP', `cannot define map '${map}': ${why}`, {
    fix: 'define it in `.maps`, with BTF',
  });
}
