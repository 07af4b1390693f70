/** What a module's file tells about its code: made once for each file, since it takes a pass over all of it. */
import { CodeMap, type FunctionRange, type ImagePart } from '../arch/x64/code-map.ts';
import { readFunctionRanges } from '../elf/eh-frame.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { type Segment, SegmentFlag, SegmentType } from '../elf/segments.ts';
import { SymbolType } from '../elf/symbols.ts';

const maps = new WeakMap<ElfFile, CodeMap>();

/** The code map of a file; addresses are those before relocation. @throws {ElfError} if the file is malformed */
export function codeMapOf(elf: ElfFile): CodeMap {
  let map = maps.get(elf);
  if (map === undefined) {
    map = new CodeMap({
      code: partsOf(elf, (segment) => isExecutable(segment)),
      data: partsOf(elf, (segment) => !isExecutable(segment)),
      functions: functionsOf(elf),
      pointers: pointersOf(elf),
    });
    maps.set(elf, map);
  }
  return map;
}

function partsOf(elf: ElfFile, isWanted: (segment: Segment) => boolean): ImagePart[] {
  return elf.segments
    .filter((segment) => segment.type === SegmentType.LOAD && segment.fileSize > 0 && isWanted(segment))
    .map(({ address, fileSize }) => ({ address: Number(address), bytes: elf.bytesAt(address, fileSize) }));
}

function isExecutable({ flags }: Segment): boolean {
  return (flags & SegmentFlag.EXEC) !== 0;
}

function* functionsOf(elf: ElfFile): Generator<FunctionRange> {
  for (const { type, section, value, size } of elf.symbols()) {
    if (section === 0 || (type !== SymbolType.FUNC && type !== SymbolType.GNU_IFUNC)) continue;
    yield { start: Number(value), end: Number(value) + size };
  }
  for (const { start, end } of readFunctionRanges(elf)) yield { start: Number(start), end: Number(end) };
}

/** Labels of hand-written code, and what the loader relocates. */
function* pointersOf(elf: ElfFile): Generator<number> {
  yield Number(elf.header.entry);
  for (const { type, section, value } of elf.symbols()) {
    if (section !== 0 && type === SymbolType.NOTYPE) yield Number(value);
  }
  for (const { addend } of elf.dynamic?.relocations() ?? []) {
    if (addend !== undefined && addend > 0n) yield Number(addend);
  }
}
