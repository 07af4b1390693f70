/** What the running kernel says of itself: its version and configuration. Source: uname(2), proc(5), libbpf's kernel_version. */
import { existsSync, readFileSync } from 'node:fs';
import { release, version } from 'node:os';
import { gunzipSync } from 'node:zlib';

/** The most that a configuration may be, unpacked: hostile files are small. */
const MAX_CONFIG = 16 * 1024 * 1024;

/** KERNEL_VERSION(a, b, c) of a release such as `6.1.0-18-amd64`; distributions that number otherwise say more in `details`. */
export function kernelVersionOf(text: string, details = ''): number {
  // Debian's release stays at .0; the version behind its name is the kernel's.
  const numbers = /\bDebian (\d+)\.(\d+)\.(\d+)/.exec(details) ?? /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  const [a = 0, b = 0, c = 0] = (numbers ?? []).slice(1).map((number) => Number(number ?? 0));
  return (a << 16) + (b << 8) + Math.min(c, 255);
}

/** The running kernel. */
export function readKernel(): {
  readonly version: number;
  config(): string | undefined;
  types(): Uint8Array | undefined;
} {
  return { version: kernelVersionOf(release(), version()), config: readConfig, types: readTypes };
}

let types: Uint8Array | undefined;

/** What the kernel says of its own types (CONFIG_DEBUG_INFO_BTF), read once. */
function readTypes(): Uint8Array | undefined {
  try {
    types ??= readFileSync('/sys/kernel/btf/vmlinux');
  } catch {
    // Another one may be able to.
  }
  return types;
}

/** The text that the kernel was configured with; undefined if it is nowhere, or nobody may read it. */
function readConfig(): string | undefined {
  for (const [path, read] of [
    [`/boot/config-${release()}`, (file: Buffer) => file],
    ['/proc/config.gz', (file: Buffer) => gunzipSync(file, { maxOutputLength: MAX_CONFIG })],
  ] as const) {
    try {
      if (existsSync(path)) return read(readFileSync(path)).toString('utf8');
    } catch {
      // The next one may be readable.
    }
  }
  return undefined;
}
