/** Global variables: each of `.rodata* .data* .bss*` becomes an array map of one entry, as in libbpf. */
import type { Btf } from '../btf/btf.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { type Section, SectionType } from '../elf/sections.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { ObjectError } from './errors.ts';
import type { Relocations } from './relocation.ts';

/** A section's name, or the name and a suffix: `.data.apart`. */
const NAME = /^\.(rodata|data|bss)(\..*)?$/s;
const MAX_SIZE = 0x7fff_ffff;

/** `enum bpf_map_type` and map flags, Linux include/uapi/linux/bpf.h. */
const BPF_MAP_TYPE_ARRAY = 2;
const BPF_F_RDONLY_PROG = 1 << 7;

/** A section of variables. */
export interface DataSection {
  /** Index of the ELF section. */
  readonly section: number;
  readonly spec: MapSpec;
}

/**
 * Reads the data sections, in file order; empty ones are left out.
 *
 * @throws {ObjectError} OBJECT_DATA_RELOCATION, OBJECT_TOO_LARGE
 * @throws {ElfError} if a section is malformed
 * @throws {BtfError} if a type is malformed
 */
export function readDataSections(elf: ElfFile, relocations: Relocations, btf: Btf | undefined): DataSection[] {
  return elf.sections
    .filter(
      ({ name, type, size }) =>
        NAME.test(name) && size > 0 && (type === SectionType.PROGBITS || type === SectionType.NOBITS),
    )
    .map((section) => readDataSection(elf, section, relocations, btf));
}

function readDataSection(elf: ElfFile, section: Section, relocations: Relocations, btf: Btf | undefined): DataSection {
  const { name, size } = section;
  if (size > MAX_SIZE) {
    throw new ObjectError('OBJECT_TOO_LARGE', `cannot make a map of ${name}: ${size} bytes, at most ${MAX_SIZE}`);
  }
  for (const { symbol, offset } of relocations.of(section)) {
    throw new ObjectError(
      'OBJECT_DATA_RELOCATION',
      `cannot load ${name}: at byte ${offset} it holds the address of '${symbol.name}', wanted numbers only`,
      { fix: 'assign the address in the program' },
    );
  }
  return {
    section: section.index,
    spec: {
      name,
      type: BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: size,
      maxEntries: 1,
      flags: name.startsWith('.rodata') ? BPF_F_RDONLY_PROG : 0,
      keyTypeId: 0,
      valueTypeId: btf?.byName('datasec', name)?.id ?? 0,
      ...(section.type === SectionType.PROGBITS && { initialValue: new Uint8Array(elf.data(section)) }),
    },
  };
}
