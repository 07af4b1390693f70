/**
 * Symbols that an object uses and does not define. Variables of `.kconfig` are settings of the kernel and of this runtime: they
 * become a read-only map, as in libbpf. Symbols of `.ksyms` are of the kernel: there are a few functions and no variables in a
 * process, and a weak one that is not there is 0.
 * Source: Linux tools/lib/bpf/libbpf.c (bpf_object__collect_externs, bpf_object__resolve_externs).
 */
import { type Btf, placeVariables, readBtf } from '../btf/btf.ts';
import { sectionVariables, type Variable } from '../btf/variables.ts';
import { alignUp } from '../bytes/align.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { SectionIndex } from '../elf/sections.ts';
import { SymbolBinding } from '../elf/symbols.ts';
import { kernelFunctionNumber, NO_KERNEL_FUNCTION } from '../insn/kernel-functions.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { ObjectError } from './errors.ts';
import { type KernelFacts, parseKernelConfig } from './kernel-facts.ts';
import { writeSetting } from './kernel-setting.ts';
import type { ObjectLayout } from './layout.ts';

const KCONFIG = '.kconfig';
const KSYMS = '.ksyms';
/** `enum bpf_map_type` and map flags, Linux include/uapi/linux/bpf.h. */
const BPF_MAP_TYPE_ARRAY = 2;
const BPF_F_RDONLY_PROG = 1 << 7;

/** Types, and the section that they are read from. */
export type Types =
  | { readonly btf: Btf; readonly bytes: Uint8Array }
  | { readonly btf: undefined; readonly bytes: undefined };

/** What an object gains by its externs. */
export interface Externs {
  /** The map of `.kconfig`, if anything lies there. */
  readonly map: MapSpec | undefined;
  /** Settings without a value. */
  readonly obstacles: readonly ObjectError[];
  /** The object's types and their bytes, the variables of `.kconfig` where the map has them. */
  readonly types: Types;
}

/**
 * Settings that are none of the kernel's configuration. BPF cookies are ours; the context of system call programs is the
 * caller's pt_regs itself, without the wrapper's around it.
 */
const VIRTUAL: Readonly<Record<string, (kernel: KernelFacts) => bigint>> = {
  LINUX_KERNEL_VERSION: ({ version }) => BigInt(version),
  LINUX_HAS_BPF_COOKIE: () => 1n,
  LINUX_HAS_SYSCALL_WRAPPER: () => 0n,
};

/**
 * Finds a place or a value for each, and tells `layout`. A setting that is not known, and not weak, or that its variable cannot
 * hold, is an obstacle.
 *
 * @throws {ObjectError} OBJECT_EXTERN if the settings take more room than any kernel has
 */
export function resolveExterns(elf: ElfFile, types: Types, kernel: KernelFacts, layout: ObjectLayout): Externs {
  const weak = new Set<string>();
  for (const { name, section, binding } of elf.symtab ?? []) {
    if (section !== SectionIndex.UNDEF || binding !== SymbolBinding.WEAK) continue;
    weak.add(name);
    layout.addExtern(name, { kind: 'number', value: 0n }, 1);
  }
  const { btf, bytes } = types;
  if (btf !== undefined) declareKernelFunctions(btf, layout);
  const section = btf?.byName('datasec', KCONFIG);
  if (btf === undefined || section === undefined) return { map: undefined, obstacles: [], types };

  const { variables, size } = placeAll(btf, section.id);
  const initialValue = new Uint8Array(size);
  const settings = new Settings(kernel);
  const obstacles: ObjectError[] = [];
  for (const variable of variables) {
    const { name, offset, size } = variable;
    const setting = settings.get(name);
    const obstacle =
      setting === undefined ? settings.unknown(name) : writeSetting(initialValue, btf, variable, setting);
    if (obstacle !== undefined && (setting !== undefined || !weak.has(name))) obstacles.push(obstacle);
    layout.addExtern(name, { kind: 'mapValue', map: KCONFIG, offset }, size);
  }
  const map: MapSpec = {
    name: KCONFIG,
    type: BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: size,
    maxEntries: 1,
    flags: BPF_F_RDONLY_PROG,
    keyTypeId: 0,
    valueTypeId: section.id,
    initialValue,
  };
  const placed = placeVariables(bytes, section.id, variables);
  return { map, obstacles, types: { btf: readBtf(placed), bytes: placed } };
}

/** Calls of those that are not here are for the verifier to refuse, where a path leads to one. */
function declareKernelFunctions(btf: Btf, layout: ObjectLayout): void {
  const section = btf.byName('datasec', KSYMS);
  for (const variable of section?.type.variables ?? []) {
    const type = btf.type(variable.type);
    if (type.kind !== 'func') continue;
    const number = kernelFunctionNumber(type.name);
    layout.addKernelFunction(type.name, number);
    if (number !== NO_KERNEL_FUNCTION) layout.addExtern(type.name, { kind: 'number', value: SOMEWHERE }, 1);
  }
}

/** What programs take the address of a kernel function for is whether it is there. */
const SOMEWHERE = 1n;

/** The compiler gives externs no place: each gets one, aligned to its size. */
function placeAll(btf: Btf, section: number): { variables: readonly Variable[]; size: number } {
  let end = 0;
  const variables = sectionVariables(btf, section).map((variable) => {
    const size = btf.sizeOf(variable.typeId);
    const offset = alignUp(end, Math.min(8, Math.max(1, size)));
    end = offset + size;
    if (end > MAX_SIZE) throw refused(variable.name, `${KCONFIG} has more than ${MAX_SIZE} bytes`);
    return { ...variable, offset, size };
  });
  return { variables, size: end };
}

/** More than all settings of a kernel take. */
const MAX_SIZE = 1024 * 1024;

/** The values of settings, by name, as the kernel's configuration writes them. */
class Settings {
  readonly #kernel: KernelFacts;
  #config: ReadonlyMap<string, string> | undefined | 'not read' = 'not read';

  constructor(kernel: KernelFacts) {
    this.#kernel = kernel;
  }

  get(name: string): string | undefined {
    const virtual = Object.hasOwn(VIRTUAL, name) ? VIRTUAL[name] : undefined;
    return virtual === undefined ? this.#read()?.get(name) : String(virtual(this.#kernel));
  }

  unknown(name: string): ObjectError {
    const isSetting = name.startsWith('CONFIG_');
    const why = this.#read() === undefined ? 'the configuration of the kernel cannot be read' : 'it is not set';
    return refused(
      name,
      isSetting ? why : `no such setting is known, there are CONFIG_* and ${Object.keys(VIRTUAL).join(', ')}`,
    );
  }

  #read(): ReadonlyMap<string, string> | undefined {
    if (this.#config === 'not read') {
      const text = this.#kernel.config();
      this.#config = text === undefined ? undefined : parseKernelConfig(text);
    }
    return this.#config;
  }
}

function refused(name: string, why: string): ObjectError {
  return new ObjectError('OBJECT_EXTERN', `cannot read the object: '${name}' has no value: ${why}`, {
    fix: `declare it __weak, if the program can do without: it is 0 then`,
  });
}
