/** A library that a process could load and has not: its file, found as the loader would find it, and what is in it. */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readElf } from '../elf/elf-file.ts';
import { SegmentFlag, SegmentType } from '../elf/segments.ts';
import { withoutVersion } from './find-module.ts';
import { LIBRARY_FOLDERS } from './installed-library.ts';
import { Module } from './module.ts';

const MAX_FILE_SIZE = 2 ** 31;

/**
 * The file that a name would mean, as a module that lies where the file says.
 *
 * @param name a path, or the name of a library in one of the loader's usual folders, with or without version
 * @param procId a number under which /proc shows the process: paths are its own
 * @returns undefined if there is none
 * @throws {ElfError} if the file is malformed
 */
export function findLibraryFile(name: string, procId: number): Module | undefined {
  const root = `/proc/${procId}/root`;
  for (const path of name.includes('/') ? [name] : candidates(name, root)) {
    const bytes = path.startsWith('/') ? readLibrary(join(root, path)) : undefined;
    if (bytes !== undefined) return asModule(path, bytes);
  }
  return undefined;
}

/** Files of the folders that may be meant, the exact name first. */
function candidates(name: string, root: string): string[] {
  const files = LIBRARY_FOLDERS.flatMap((folder) => filesIn(join(root, folder)).map((file) => join(folder, file)));
  const exact = files.filter((file) => basename(file) === name);
  return [...exact, ...files.filter((file) => withoutVersion(basename(file)) === withoutVersion(name))];
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((file) => /\.so(\.|$)/.test(file));
  } catch {
    return [];
  }
}

/** Undefined for what is no library: linkers are given scripts of such names too. */
function readLibrary(path: string): Uint8Array | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > MAX_FILE_SIZE) return undefined;
    const bytes = readFileSync(fd);
    return bytes.subarray(0, 4).toString('latin1') === '\x7fELF' ? bytes : undefined;
  } finally {
    closeSync(fd);
  }
}

function asModule(path: string, bytes: Uint8Array): Module {
  const code = readElf(bytes).segments.filter(
    ({ type, flags }) => type === SegmentType.LOAD && flags & SegmentFlag.EXEC,
  );
  const mappings = code.map(({ address, offset, fileSize }) => ({
    start: address,
    end: address + BigInt(fileSize),
    permissions: 'r-xp',
    offset,
    device: '',
    inode: 0n,
    path,
    deleted: false,
  }));
  return new Module(mappings, () => bytes);
}
