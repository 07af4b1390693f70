/** A library or executable mapped into a process: one file, its mappings, and what its ELF file tells. */
import { DynamicTag } from '../elf/dynamic.ts';
import { type ElfFile, readElf } from '../elf/elf-file.ts';
import { type ElfFunction, functionsOf } from '../elf/functions.ts';
import { SegmentFlag, SegmentType } from '../elf/segments.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import { ProcessError } from './errors.ts';

/** Of DT_FLAGS. */
const DF_TEXTREL = 4n;

export class Module {
  /** As the process saw the file when it mapped it. */
  readonly path: string;
  /** The last part of the path. */
  readonly name: string;
  /** In ascending order, at least one of them executable. */
  readonly mappings: readonly Mapping[];
  readonly #readFile: (module: Module) => Uint8Array;
  #elf: ElfFile | undefined;
  #bias: bigint | undefined;
  #functions: readonly ElfFunction[] | undefined;

  /** @param readFile gives the bytes of the file; asked once */
  constructor(mappings: readonly Mapping[], readFile: (module: Module) => Uint8Array) {
    this.path = mappings[0]!.path;
    this.name = this.path.slice(this.path.lastIndexOf('/') + 1);
    this.mappings = mappings;
    this.#readFile = readFile;
  }

  get start(): bigint {
    return this.mappings[0]!.start;
  }

  /** The first address behind it. */
  get end(): bigint {
    return this.mappings.at(-1)!.end;
  }

  /** The file it was mapped from. @throws {ProcessError} PROCESS_MODULE_UNREADABLE @throws {ElfError} */
  get elf(): ElfFile {
    this.#elf ??= elfOf(this.#readFile(this));
    return this.#elf;
  }

  /** The functions that its file defines, each name of them. @throws as `elf` */
  get functions(): readonly ElfFunction[] {
    this.#functions ??= [...functionsOf(this.elf)];
    return this.#functions;
  }

  /**
   * What to add to an address in the file to get one in the process; 0 for programs linked to a fixed address.
   *
   * @throws {ProcessError} PROCESS_MODULE_UNREADABLE @throws {ElfError}
   */
  get bias(): bigint {
    this.#bias ??= this.#findBias();
    return this.#bias;
  }

  /** DT_SONAME, by which other modules ask for it. @throws as `elf` */
  get soname(): string | undefined {
    return this.elf.dynamic?.soname;
  }

  /** True if its code is not what the file says until it has been relocated. @throws as `elf` */
  get relocatesCode(): boolean {
    const { dynamic } = this.elf;
    const flags = dynamic?.value(DynamicTag.FLAGS) ?? 0n;
    return dynamic?.value(DynamicTag.TEXTREL) !== undefined || (flags & DF_TEXTREL) !== 0n;
  }

  /** True if code of this module is mapped at `address`. */
  holdsCode(address: bigint): boolean {
    return this.mappings.some((m) => m.permissions[2] === 'x' && address >= m.start && address < m.end);
  }

  /** True if what is mapped at `address` is the file itself, and no copy of it. */
  isSharedAt(address: bigint): boolean {
    return mappingAt(this.mappings, address)?.permissions[3] === 's';
  }

  /** Through the segment that the code was mapped from: addresses and file offsets need not agree. */
  #findBias(): bigint {
    const code = this.mappings.find((m) => m.permissions[2] === 'x')!;
    const segment = this.elf.segments.find(
      (s) =>
        s.type === SegmentType.LOAD &&
        (s.flags & SegmentFlag.EXEC) !== 0 &&
        code.offset < s.offset + s.fileSize &&
        code.offset + Number(code.end - code.start) > s.offset,
    );
    if (segment === undefined) {
      throw new ProcessError(
        'PROCESS_MODULE_UNREADABLE',
        `cannot place '${this.path}': no code segment of the file lies at offset ${code.offset}, where it is mapped`,
      );
    }
    return code.start - BigInt(code.offset) + BigInt(segment.offset) - segment.address;
  }
}

const elfFiles = new WeakMap<Uint8Array, ElfFile>();

/** What is known of a file by its ELF file is known once. */
function elfOf(bytes: Uint8Array): ElfFile {
  const elf = elfFiles.get(bytes) ?? readElf(bytes);
  elfFiles.set(bytes, elf);
  return elf;
}

/** The files that `mappings` map code from, each with all its mappings, in the order of their addresses. */
export function groupModules(mappings: readonly Mapping[]): readonly (readonly Mapping[])[] {
  const groups = new Map<string, Mapping[]>();
  for (const mapping of mappings) {
    if (mapping.inode === 0n && mapping.path !== '[vdso]') continue;
    const file = `${mapping.device}:${mapping.inode}:${mapping.path}`;
    const group = groups.get(file);
    if (group === undefined) groups.set(file, [mapping]);
    else group.push(mapping);
  }
  return [...groups.values()].filter((group) => group.some((m) => m.permissions[2] === 'x'));
}
