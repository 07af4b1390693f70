/**
 * Memory that can be read as long as the process runs its program: a read there needs no check. That is the program's own data, which
 * nothing unmaps, and whose file cannot be cut while it runs (ETXTBSY); and the stack of the first thread, which only grows. Not
 * variables, if the program can protect memory: some do that to pages between them. Not libraries, whose files can be cut; not the
 * heap, which shrinks; not code, which some programs move to larger pages.
 * Source: execve(2), dlclose(3); Linux mm/mmap.c.
 */
import type { ElfFile } from '../elf/elf-file.ts';
import { SectionIndex } from '../elf/sections.ts';
import { SegmentFlag, SegmentType } from '../elf/segments.ts';
import { BpfError } from '../errors.ts';
import { readAuxiliaryVector } from '../sys/auxiliary-vector.ts';
import type { Mapping } from '../sys/proc-maps.ts';
import type { Module } from './module.ts';
import type { TargetProcess } from './target-process.ts';

/** Addresses from `start` to the one in front of `end`. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

const PROTECTING: ReadonlySet<string> = new Set(['mprotect', 'pkey_mprotect', 'mremap']);

/** In ascending order, apart from each other. @throws {SysError} if the process has ended */
export function lastingMemory(process: TargetProcess): readonly AddressRange[] {
  const { entry } = readAuxiliaryVector(process.procId);
  const program = process.modules().find((module) => module.holdsCode(entry));
  const segments = program === undefined ? [] : dataOf(program);
  const isData = (m: Mapping) => m.path === '' || m.path === '[heap]' || m.path === program?.path;
  const ranges = process.mappings().flatMap((mapping): AddressRange[] => {
    const { start, end, permissions, path } = mapping;
    if (permissions[0] !== 'r' || permissions[2] === 'x') return [];
    if (path === '[stack]') return [{ start, end }];
    if (!isData(mapping)) return [];
    return segments
      .map((segment) => ({
        start: segment.start > start ? segment.start : start,
        end: segment.end < end ? segment.end : end,
      }))
      .filter((part) => part.start < part.end);
  });
  return joined(ranges.sort((a, b) => (a.start < b.start ? -1 : 1)));
}

/** Where the segments lie that hold no code. */
function dataOf(program: Module): readonly AddressRange[] {
  try {
    const { elf, bias } = program;
    const forbidden = SegmentFlag.EXEC | (protectsMemory(elf) ? SegmentFlag.WRITE : 0);
    return elf.segments
      .filter(({ type, flags }) => type === SegmentType.LOAD && (flags & forbidden) === 0)
      .map(({ address, memorySize }) => ({ start: bias + address, end: bias + address + BigInt(memorySize) }));
  } catch (error) {
    // A program whose file cannot be read has no such memory that we know of.
    if (error instanceof BpfError) return [];
    throw error;
  }
}

/** Whether it calls what protects or moves memory; a program that is linked statically may, for all that its file tells. */
function protectsMemory({ dynsym, segments }: ElfFile): boolean {
  if (dynsym === undefined || !segments.some(({ type }) => type === SegmentType.INTERP)) return true;
  for (const symbol of dynsym) if (symbol.section === SectionIndex.UNDEF && PROTECTING.has(symbol.name)) return true;
  return false;
}

function joined(ranges: readonly AddressRange[]): readonly AddressRange[] {
  const apart: AddressRange[] = [];
  for (const range of ranges) {
    const last = apart.at(-1);
    if (last !== undefined && range.start <= last.end) {
      const end = range.end > last.end ? range.end : last.end;
      apart[apart.length - 1] = { start: last.start, end };
    } else {
      apart.push(range);
    }
  }
  return apart;
}
