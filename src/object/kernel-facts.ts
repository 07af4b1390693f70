/** What externs of an object may ask of the kernel. The reader of objects is pure: whoever loads one brings the answers. */

export interface KernelFacts {
  /** As KERNEL_VERSION(a, b, c) makes it: a << 16 | b << 8 | c. */
  readonly version: number;
  /** The text of the kernel's configuration, asked for at most once; undefined if nobody may read it. */
  config(): string | undefined;
  /** The kernel's own types: a .BTF section, the same bytes each time; undefined if nobody may read them. */
  types(): Uint8Array | undefined;
}

/** Of no kernel: for listings of objects that are not going to run. */
export const NO_KERNEL: KernelFacts = { version: 0, config: () => undefined, types: () => undefined };

/** `CONFIG_NAME=value` lines, by name; those that are not set are not in it. */
export function parseKernelConfig(text: string): ReadonlyMap<string, string> {
  return new Map(Array.from(text.matchAll(/^(CONFIG_\w+)=(.*)$/gm), ([, name, value]) => [name!, value!]));
}
