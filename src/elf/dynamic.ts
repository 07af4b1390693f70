/**
 * The dynamic section: what the loader reads, and all that a file without a section table still tells.
 * Source: System V ABI, "Dynamic Section"; <elf.h>, DT_*; the GNU hash layout in binutils bfd/elflink.c.
 */
import { cString } from '../bytes/c-string.ts';
import { struct, viewOf } from '../bytes/struct.ts';
import { ElfError } from './errors.ts';
import { Rela, type Relocation, readRelocations, X64Relocation } from './relocations.ts';
import { type Segment, SegmentType, vaddrToFileOffset } from './segments.ts';
import { Sym, SymbolTable } from './symbols.ts';
import { slice } from './table.ts';

const Dyn = struct('Elf64_Dyn', 16, { tag: 'u64', value: 'u64' });

const Tag = {
  NULL: 0n,
  PLTRELSZ: 2n,
  HASH: 4n,
  STRTAB: 5n,
  SYMTAB: 6n,
  RELA: 7n,
  RELASZ: 8n,
  STRSZ: 10n,
  INIT: 12n,
  SONAME: 14n,
  JMPREL: 23n,
  INIT_ARRAY: 25n,
  INIT_ARRAYSZ: 27n,
  PREINIT_ARRAY: 32n,
  PREINIT_ARRAYSZ: 33n,
  GNU_HASH: 0x6fff_fef5n,
  VERSYM: 0x6fff_fff0n,
} as const;

export interface Dynamic {
  /** DT_SONAME. */
  readonly soname: string | undefined;
  /** The dynamic symbols; undefined if the file has none or does not say how many. @throws {ElfError} ELF_TRUNCATED */
  symbols(): SymbolTable | undefined;
  /** The relocations the loader applies: data first, then PLT slots. @throws {ElfError} ELF_TRUNCATED */
  relocations(): Iterable<Relocation>;
  /** Addresses of the functions that are run before anything else of the module is. @throws {ElfError} ELF_TRUNCATED */
  initializers(): readonly bigint[];
}

/** More constructors than any program has. */
const MAX_INITIALIZERS = 65_536;

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

  const strings = table(Tag.STRTAB, 'dynamic strings', entries.get(Tag.STRSZ));
  const sonameAt = entries.get(Tag.SONAME);
  function* relocations(): Generator<Relocation> {
    for (const [start, size] of [
      [Tag.RELA, Tag.RELASZ],
      [Tag.JMPREL, Tag.PLTRELSZ],
    ] as const) {
      const bytes = table(start, 'dynamic relocations', entries.get(size) ?? 0n);
      if (bytes !== undefined) yield* readRelocations(bytes, Rela);
    }
  }
  return {
    soname: sonameAt === undefined || strings === undefined ? undefined : readSoname(strings, Number(sonameAt)),
    symbols() {
      const rows = table(Tag.SYMTAB, 'dynamic symbols');
      const count = symbolCount(table(Tag.HASH, 'the symbol hash table'), table(Tag.GNU_HASH, 'the GNU hash table'));
      if (rows === undefined || strings === undefined || count === undefined) return undefined;
      const versions = table(Tag.VERSYM, 'symbol versions');
      return new SymbolTable(
        slice(rows, 0, count * Sym.size, 'dynamic symbols'),
        strings,
        versions?.subarray(0, count * 2),
      );
    },
    relocations,
    initializers() {
      const addends = new Map<bigint, bigint>();
      for (const { offset, type, addend } of relocations()) {
        if (type === X64Relocation.RELATIVE) addends.set(offset, addend ?? 0n);
      }
      const functions: bigint[] = [entries.get(Tag.INIT) ?? 0n];
      for (const [start, size] of [
        [Tag.PREINIT_ARRAY, Tag.PREINIT_ARRAYSZ],
        [Tag.INIT_ARRAY, Tag.INIT_ARRAYSZ],
      ] as const) {
        const count = Math.min(MAX_INITIALIZERS, Number((entries.get(size) ?? 0n) / 8n));
        const bytes = count === 0 ? undefined : table(start, 'the array of initializers', BigInt(8 * count));
        for (let n = 0; bytes !== undefined && n < count; n++) {
          // Where no relocation says it, or only a packed one, it stands there.
          const slot = entries.get(start)! + BigInt(8 * n);
          functions.push(addends.get(slot) ?? viewOf(bytes).getBigUint64(8 * n, true));
        }
      }
      return functions.filter((address) => address !== 0n);
    },
  };
}

function readEntries(bytes: Uint8Array): ReadonlyMap<bigint, bigint> {
  const entries = new Map<bigint, bigint>();
  for (let at = 0; at + Dyn.size <= bytes.length; at += Dyn.size) {
    const { tag, value } = Dyn.read(bytes, at);
    if (tag === Tag.NULL) break;
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
