/**
 * The dynamic section: what the loader reads, and all that a file without a section table still tells.
 * Source: System V ABI, "Dynamic Section"; <elf.h>, DT_*; the GNU hash layout in binutils bfd/elflink.c.
 */
import { cString } from '../bytes/c-string.ts';
import { struct, viewOf } from '../bytes/struct.ts';
import { ElfError } from './errors.ts';
import { Rela, type Relocation, readRelocations } from './relocations.ts';
import { type Segment, SegmentType, vaddrToFileOffset } from './segments.ts';
import { Sym, SymbolTable } from './symbols.ts';
import { slice } from './table.ts';

const Dyn = struct('Elf64_Dyn', 16, { tag: 'u64', value: 'u64' });

/** d_tag values we meet. */
export const DynamicTag = {
  NULL: 0n,
  NEEDED: 1n,
  PLTRELSZ: 2n,
  HASH: 4n,
  STRTAB: 5n,
  SYMTAB: 6n,
  RELA: 7n,
  RELASZ: 8n,
  STRSZ: 10n,
  INIT: 12n,
  SONAME: 14n,
  TEXTREL: 22n,
  JMPREL: 23n,
  INIT_ARRAY: 25n,
  INIT_ARRAYSZ: 27n,
  FLAGS: 30n,
  PREINIT_ARRAY: 32n,
  PREINIT_ARRAYSZ: 33n,
  GNU_HASH: 0x6fff_fef5n,
  VERSYM: 0x6fff_fff0n,
} as const;

export interface Dynamic {
  /** DT_SONAME. */
  readonly soname: string | undefined;
  /** What the entry of a tag holds: an address before relocation, or a size. */
  value(tag: bigint): bigint | undefined;
  /** The dynamic symbols; undefined if the file has none or does not say how many. @throws {ElfError} ELF_TRUNCATED */
  symbols(): SymbolTable | undefined;
  /** The relocations the loader applies: data first, then PLT slots. @throws {ElfError} ELF_TRUNCATED */
  relocations(): Iterable<Relocation>;
}

/**
 * Reads PT_DYNAMIC; undefined if the file has none.
 *
 * @throws {ElfError} ELF_TRUNCATED, ELF_BAD_STRING
 */
export function readDynamic(file: Uint8Array, segments: readonly Segment[]): Dynamic | undefined {
  const segment = segments.find((s) => s.type === SegmentType.DYNAMIC);
  if (segment === undefined) return undefined;
  const entries = readEntries(slice(file, segment.offset, segment.fileSize, 'the dynamic section'));

  /** The table that starts at the address in `tag`: `size` bytes, or to the end of the file. */
  const table = (tag: bigint, what: string, size?: bigint): Uint8Array | undefined => {
    const address = entries.get(tag);
    if (address === undefined) return undefined;
    const offset = vaddrToFileOffset(segments, address);
    if (offset === undefined || offset > file.length) {
      throw new ElfError('ELF_TRUNCATED', `cannot read ${what}: address 0x${address.toString(16)} is not in the file`);
    }
    return slice(file, offset, size === undefined ? file.length - offset : Number(size), what);
  };

  const strings = table(DynamicTag.STRTAB, 'dynamic strings', entries.get(DynamicTag.STRSZ));
  const sonameAt = entries.get(DynamicTag.SONAME);
  return {
    soname: sonameAt === undefined || strings === undefined ? undefined : readSoname(strings, Number(sonameAt)),
    value: (tag) => entries.get(tag),
    symbols() {
      const rows = table(DynamicTag.SYMTAB, 'dynamic symbols');
      const count = symbolCount(
        table(DynamicTag.HASH, 'the symbol hash table'),
        table(DynamicTag.GNU_HASH, 'the GNU hash table'),
      );
      if (rows === undefined || strings === undefined || count === undefined) return undefined;
      const versions = table(DynamicTag.VERSYM, 'symbol versions');
      return new SymbolTable(
        slice(rows, 0, count * Sym.size, 'dynamic symbols'),
        strings,
        versions?.subarray(0, count * 2),
      );
    },
    *relocations() {
      for (const [start, size] of [
        [DynamicTag.RELA, DynamicTag.RELASZ],
        [DynamicTag.JMPREL, DynamicTag.PLTRELSZ],
      ] as const) {
        const bytes = table(start, 'dynamic relocations', entries.get(size) ?? 0n);
        if (bytes !== undefined) yield* readRelocations(bytes, Rela);
      }
    },
  };
}

function readEntries(bytes: Uint8Array): ReadonlyMap<bigint, bigint> {
  const entries = new Map<bigint, bigint>();
  for (let at = 0; at + Dyn.size <= bytes.length; at += Dyn.size) {
    const { tag, value } = Dyn.read(bytes, at);
    if (tag === DynamicTag.NULL) break;
    entries.set(tag, value);
  }
  return entries;
}

function readSoname(strings: Uint8Array, at: number): string {
  const soname = cString(strings, at, 4096);
  if (soname === undefined) {
    throw new ElfError('ELF_BAD_STRING', `cannot read the soname: no string at ${at} of ${strings.length} bytes`);
  }
  return soname;
}

/** How many dynamic symbols there are: only the hash tables know. */
function symbolCount(hash: Uint8Array | undefined, gnuHash: Uint8Array | undefined): number | undefined {
  // DT_HASH: nbucket, nchain; a chain entry per symbol.
  if (hash !== undefined && hash.length >= 8) return viewOf(hash).getUint32(4, true);
  return gnuHash && gnuSymbolCount(gnuHash);
}

/**
 * DT_GNU_HASH: nbuckets, symoffset, bloom words, bloom shift | bloom: u64[] | buckets: u32[] | chains: u32[].
 * The last symbol ends the chain (low bit set) that begins at the highest bucket.
 */
function gnuSymbolCount(table: Uint8Array): number {
  const view = viewOf(table);
  const word = (at: number): number => {
    if (at + 4 > table.length)
      throw new ElfError('ELF_TRUNCATED', 'cannot count dynamic symbols: the GNU hash table leaves the file');
    return view.getUint32(at, true);
  };
  const bucketCount = word(0);
  const firstHashed = word(4);
  const buckets = 16 + word(8) * 8;
  const chains = buckets + bucketCount * 4;

  let last = 0;
  for (let bucket = 0; bucket < bucketCount; bucket++) last = Math.max(last, word(buckets + bucket * 4));
  if (last < firstHashed) return firstHashed;
  while ((word(chains + (last - firstHashed) * 4) & 1) === 0) last++;
  return last + 1;
}
