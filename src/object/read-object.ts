/** An object file, as clang writes it, to what it describes. Bytes in, specs out: no process, no kernel. */
import { type Btf, readBtf } from '../btf/btf.ts';
import { type BtfExt, readBtfExt } from '../btf/btf-ext.ts';
import { cString, utf8 } from '../bytes/c-string.ts';
import { type ElfFile, readElf } from '../elf/elf-file.ts';
import { FileType, Machine } from '../elf/header.ts';
import { SectionType } from '../elf/sections.ts';
import { BpfError } from '../errors.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { type Autoload, type LoadableObject, selectPrograms } from './autoload.ts';
import { applyCore } from './core-patch.ts';
import { coreTypes } from './core-types.ts';
import { readDataSections } from './data-sections.ts';
import { ObjectError } from './errors.ts';
import { resolveExterns, type Types } from './externs.ts';
import { type CodeFunction, readFunctions, sectionOf } from './functions.ts';
import { type KernelFacts, NO_KERNEL } from './kernel-facts.ts';
import { ObjectLayout } from './layout.ts';
import { readLegacyMaps } from './legacy-maps.ts';
import { Linker } from './link.ts';
import { type MapDefinition, readMapDefinitions } from './map-definitions.ts';
import { readMapSlots } from './map-slots.ts';
import { Relocations, relocateBtf } from './relocation.ts';
import type { LinkedProgram, ObjectSpec, ObjectSurvey, UnlinkedProgram } from './spec.ts';

/**
 * Reads a whole object and links its programs. The result does not refer to `file`.
 *
 * @param kernel what settings of the kernel programs find
 * @throws {ElfError | BtfError} if the file is malformed
 * @throws {ObjectError} if it asks for what makes no sense or is not supported
 */
export function readObject(file: Uint8Array, kernel: KernelFacts = NO_KERNEL): ObjectSpec {
  const { unlinked, obstacles, ...spec } = surveyObject(file, kernel);
  for (const error of [...obstacles, ...unlinked.map((program) => program.error)]) throw error;
  return spec;
}

/**
 * Reads of an object what is to be loaded.
 *
 * @param autoload programs, by name, for which it is to be otherwise than their sections say
 * @throws as `readObject`; what is wrong with programs that are left out does not matter
 */
export function readLoadable(file: Uint8Array, kernel: KernelFacts, autoload: Autoload): LoadableObject {
  return selectPrograms(surveyObject(file, kernel), autoload);
}

/**
 * Reads an object as far as it can be read: one program that cannot be linked, or a map that cannot be made, leaves the
 * others to be looked at.
 *
 * @throws {ElfError | BtfError} if the file is malformed
 * @throws {ObjectError} if nothing can be said about any program
 */
export function surveyObject(file: Uint8Array, kernel: KernelFacts = NO_KERNEL): ObjectSurvey {
  const elf = readElf(file);
  const { machine, type } = elf.header;
  if (machine !== Machine.BPF || type !== FileType.REL) {
    const wanted = `${Machine.BPF} (eBPF), ${FileType.REL} (relocatable)`;
    throw new ObjectError(
      'OBJECT_NOT_BPF',
      `cannot read the object: ELF machine ${machine}, type ${type}, wanted ${wanted}`,
      {
        fix: 'compile with clang -target bpf -g -O2 -c',
      },
    );
  }
  refuseOverlap(elf, file.length);
  const relocations = new Relocations(elf);
  const { types: declared, ext } = readTypes(elf, relocations);
  const layout = new ObjectLayout();

  const externs = resolveExterns(elf, declared, kernel, layout);
  const { btf, bytes: btfBytes } = externs.types;
  const definitions = readMaps(elf, btf, layout);
  const legacy = readLegacyMaps(elf, layout);
  const data = readData(elf, relocations, btf, layout);
  const functions = readFunctions(elf, relocations, ext).map((part) => applyCoreTo(part, btf, kernel));
  for (const f of functions) layout.addFunction(f);
  const slots = readMapSlots(elf, relocations, definitions, layout);
  const maps = [...slots.maps, ...legacy, ...data];
  if (externs.map !== undefined) maps.push(externs.map);
  refuseDuplicates(
    'programs',
    functions.filter((f) => f.isProgram),
  );
  refuseDuplicates('maps', maps);

  const obstacles = [...externs.obstacles, ...slots.obstacles, ...functions.map(({ defect }) => defect)].filter(
    (obstacle) => obstacle !== undefined,
  );
  return { license: readLicense(elf), maps, btf, btfBytes, obstacles, ...linkPrograms(functions, layout) };
}

function applyCoreTo(part: CodeFunction, btf: Btf | undefined, kernel: KernelFacts): CodeFunction {
  return btf === undefined ? part : applyCore(part, btf, coreTypes(kernel));
}

function linkPrograms(
  functions: readonly CodeFunction[],
  layout: ObjectLayout,
): Pick<ObjectSurvey, 'programs' | 'unlinked'> {
  const linker = new Linker(layout);
  const programs: LinkedProgram[] = [];
  const unlinked: UnlinkedProgram[] = [];
  for (const main of functions) {
    if (!main.isProgram) continue;
    try {
      programs.push(linker.link(main));
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      unlinked.push({ name: main.name, ...sectionOf(main), error });
    }
  }
  return { programs, unlinked };
}

/** No byte belongs to two sections; so reading all of them takes time and memory by the size of the file. */
function refuseOverlap(elf: ElfFile, fileSize: number): void {
  let total = 0;
  for (const { type, size } of elf.sections) {
    if (type !== SectionType.NULL && type !== SectionType.NOBITS) total += size;
  }
  if (total > fileSize) {
    throw new ObjectError(
      'OBJECT_OVERLAP',
      `cannot read the object: sections of ${total} bytes in a file of ${fileSize}`,
    );
  }
}

interface ObjectTypes {
  readonly types: Types;
  readonly ext: BtfExt | undefined;
}

function readTypes(elf: ElfFile, relocations: Relocations): ObjectTypes {
  const section = elf.section('.BTF');
  if (section === undefined) return { types: { bytes: undefined, btf: undefined }, ext: undefined };
  const bytes = relocateBtf(elf.data(section), relocations.of(section));
  const btf = readBtf(bytes);
  const extSection = elf.section('.BTF.ext');
  return { types: { bytes, btf }, ext: extSection && readBtfExt(new Uint8Array(elf.data(extSection)), btf) };
}

function readMaps(elf: ElfFile, btf: Btf | undefined, layout: ObjectLayout): MapDefinition[] {
  const section = elf.section('.maps');
  if (section === undefined) return [];
  if (btf === undefined) {
    throw new ObjectError('OBJECT_NO_BTF', 'cannot read maps: the object has no BTF', { fix: 'compile with clang -g' });
  }
  const definitions = readMapDefinitions(btf);
  for (const { offset, spec } of definitions) layout.addMap(section.index, offset, spec.name);
  return definitions;
}

function readData(elf: ElfFile, relocations: Relocations, btf: Btf | undefined, layout: ObjectLayout): MapSpec[] {
  return readDataSections(elf, relocations, btf).map(({ section, spec }) => {
    layout.addData(section, spec.valueSize, spec.name);
    return spec;
  });
}

function readLicense(elf: ElfFile): string {
  const section = elf.section('license');
  if (section === undefined) return '';
  const data = elf.data(section);
  return cString(data, 0) ?? utf8(data);
}

function refuseDuplicates(what: string, specs: readonly { readonly name: string }[]): void {
  const names = new Set<string>();
  for (const { name } of specs) {
    if (names.has(name)) {
      throw new ObjectError('OBJECT_DUPLICATE', `cannot read the object: two ${what} are called '${name}'`);
    }
    names.add(name);
  }
}
