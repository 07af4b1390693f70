/**
 * /proc/PID/maps: what is mapped where. Source: proc(5); show_map_vma in fs/proc/task_mmu.c.
 */
import { readProcText } from './proc.ts';

/** One line of /proc/PID/maps. */
export interface Mapping {
  readonly start: bigint;
  /** The first address behind it. */
  readonly end: bigint;
  /** 'r-xp': readable, writable, executable, private or shared. */
  readonly permissions: string;
  /** Where in the file it begins, in bytes. */
  readonly offset: number;
  /** 'major:minor' in hexadecimal, as the kernel writes it. */
  readonly device: string;
  /** 0 for memory without a file. */
  readonly inode: bigint;
  /** As the process saw it when it was mapped; '[stack]' and the like; '' for nameless memory. */
  readonly path: string;
  /** The file has no name any more. */
  readonly deleted: boolean;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)$/;
const EXECUTABLE_LINE = /^\S+ ..x.*$/gm;
const DELETED = ' (deleted)';

/** What is mapped now, in ascending order. @throws {SysError} SYS_ENOENT, SYS_ESRCH, SYS_EACCES */
export function readMaps(pid: number): readonly Mapping[] {
  return parseMaps(readProcText(`/proc/${pid}/maps`));
}

/** What is mapped executable now, as the kernel writes it: cheap to read, and other than before if any of it has changed. @throws as `readMaps` */
export function readExecutableMaps(pid: number): string {
  return executableLines(readProcText(`/proc/${pid}/maps`));
}

/** The lines of /proc/PID/maps that are of executable mappings. */
export function executableLines(text: string): string {
  return (text.match(EXECUTABLE_LINE) ?? []).join('\n');
}

/**
 * Reads the text of /proc/PID/maps. The file changes while it is read, a page of text at a time: a line that overlaps the one
 * before it is older news and is dropped.
 */
export function parseMaps(text: string): readonly Mapping[] {
  const mappings: Mapping[] = [];
  let end = 0n;
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const start = BigInt(`0x${match[1]!}`);
    if (start < end) continue;
    end = BigInt(`0x${match[2]!}`);
    const name = match[7]!;
    const deleted = name.startsWith('/') && name.endsWith(DELETED);
    mappings.push({
      start,
      end,
      permissions: match[3]!,
      offset: Number.parseInt(match[4]!, 16),
      device: match[5]!,
      inode: BigInt(match[6]!),
      // The only byte of a path the kernel escapes here.
      path: (deleted ? name.slice(0, -DELETED.length) : name).replaceAll('\\012', '\n'),
      deleted,
    });
  }
  return mappings;
}

/** The mapping that holds `address`. */
export function mappingAt(mappings: readonly Mapping[], address: bigint): Mapping | undefined {
  let low = 0;
  let high = mappings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (mappings[middle]!.end <= address) low = middle + 1;
    else high = middle;
  }
  const mapping = mappings[low];
  return mapping !== undefined && mapping.start <= address ? mapping : undefined;
}

/** st_dev as /proc/PID/maps writes it: major and minor in hexadecimal. Source: gnu_dev_major(3). */
export function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}`;
}
