/** The types that CO-RE relocations are resolved against: the running kernel's where they can be read, else our own few. */
import { type Btf, readBtf } from '../btf/btf.ts';
import { essentialName, fieldOffset } from '../btf/core-path.ts';
import type { CoreTypes } from '../btf/core-resolve.ts';
import type { KernelFacts } from './kernel-facts.ts';
import { CONTEXT_STRUCTURES, kernelStructures } from './kernel-structures.ts';

/** Reading the types of a whole kernel takes a while, and every object asks the same ones. */
const READ = new WeakMap<Uint8Array, Btf>();

/** The kernel's types by name; contexts are laid out by us. */
export function coreTypes(kernel: KernelFacts): CoreTypes {
  return {
    candidates(name) {
      const btf = (CONTEXT_STRUCTURES.has(name) ? undefined : kernelBtf(kernel)) ?? kernelStructures();
      const ids = btf.idsNamed(name).filter((id) => {
        const type = btf.type(id);
        return 'name' in type && essentialName(type.name) === name;
      });
      return { btf, ids };
    },
  };
}

/** A structure of the kernel, as programs find it relocated. */
export interface KernelStructure {
  /** Bytes; 0 if the kernel has no such structure. */
  readonly size: number;
  /** Where a field lies, through structures and arrays that it is in; undefined if there is none. */
  offsetOf(...path: readonly string[]): number | undefined;
}

/** @throws {BtfError} if its types are malformed */
export function kernelStructure(kernel: KernelFacts, name: string): KernelStructure {
  const { btf, ids } = coreTypes(kernel).candidates(name);
  const id = ids.find((candidate) => btf.type(candidate).kind === 'struct');
  if (id === undefined) return { size: 0, offsetOf: () => undefined };
  return { size: btf.sizeOf(id), offsetOf: (...path) => fieldOffset(btf, id, path) };
}

/** All types of the running kernel; undefined if nobody may read them. @throws {BtfError} if they are malformed */
export function kernelBtf(kernel: KernelFacts): Btf | undefined {
  const bytes = kernel.types();
  if (bytes === undefined) return undefined;
  const known = READ.get(bytes);
  if (known !== undefined) return known;
  const btf = readBtf(bytes);
  READ.set(bytes, btf);
  return btf;
}
