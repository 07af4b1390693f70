/** The ELF reader on eBPF objects, on the libraries of this very process, and on what hostile hands make of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { objectFile, patchSectionHeader } from '../../tests/support/objects.ts';
import { readElf } from './elf-file.ts';
import { ElfError } from './errors.ts';
import { Ehdr, FileType, Machine } from './header.ts';
import { SectionFlag, SectionType } from './sections.ts';
import { SegmentFlag, SegmentType } from './segments.ts';
import { SymbolBinding, SymbolType } from './symbols.ts';

const LIBC = libcPath();

/** The C library this process runs on: a stripped shared object with symbol versions. */
function libcPath(): string {
  const path = /\S*\/(libc\.so\.6|libc-[\d.]+\.so|ld-musl-\S+)$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  if (path === undefined) throw new Error('no C library in /proc/self/maps');
  return path;
}

/** Overwrites fields of the file header. */
function patchHeader(file: Uint8Array, fields: Partial<ReturnType<typeof Ehdr.read>>): Uint8Array {
  Ehdr.write(file, 0, { ...Ehdr.read(file), ...fields });
  return file;
}

/** Looks at everything there is. */
function readAll(file: Uint8Array): void {
  const elf = readElf(file);
  for (const section of elf.sections) {
    elf.data(section);
    if (section.type === SectionType.REL || section.type === SectionType.RELA) [...elf.relocations(section)];
  }
  for (const { name } of elf.symbols()) elf.findSymbol(name);
  [...(elf.dynamic?.relocations() ?? [])];
  elf.dynamic?.symbols();
  elf.buildId;
}

describe('readElf on an eBPF object', () => {
  const elf = readElf(objectFile('calls'));

  it('tells what the file is', () => {
    assert.equal(elf.header.machine, Machine.BPF);
    assert.equal(elf.header.type, FileType.REL);
    assert.deepEqual(elf.segments, []);
  });

  it('reads sections by name', () => {
    const section = elf.section('uprobe/first')!;
    assert.equal(section.type, SectionType.PROGBITS);
    assert.ok(section.flags & SectionFlag.EXEC);
    assert.equal(elf.data(section).length, section.size);
    assert.equal(elf.section('uprobe/third'), undefined);
  });

  it('finds symbols by name', () => {
    const { value, size, type, binding, section } = elf.findSymbol('store')!;
    assert.deepEqual(
      { value, size, type, binding },
      { value: 88n, size: 104, type: SymbolType.FUNC, binding: SymbolBinding.LOCAL },
    );
    assert.equal(section, elf.section('.text')!.index);
    assert.equal(elf.findSymbol('stor'), undefined);
    assert.equal(elf.findSymbol(''), undefined);
  });

  it('finds every symbol that iterating gives, unless another has its name', () => {
    for (const symbol of elf.symbols()) {
      if (symbol.name === '' || symbol.section === 0) continue;
      assert.equal(elf.findSymbol(symbol.name)!.name, symbol.name);
    }
  });

  it('reads relocations without addend', () => {
    const relocations = [...elf.relocations(elf.section('.reluprobe/first')!)];
    assert.deepEqual(
      relocations.map((r) => [r.offset, elf.symtab!.at(r.symbol).name, r.addend]),
      [
        [16n, 'twice_triple', undefined],
        [56n, '', undefined],
        [72n, '', undefined],
      ],
    );
  });

  it('gives no bytes for .bss', () => {
    const data = readElf(objectFile('data'));
    assert.equal(data.section('.bss')!.size, 24);
    assert.equal(data.data(data.section('.bss')!).length, 0);
  });
});

describe('readElf on a shared library', () => {
  const file = new Uint8Array(readFileSync(LIBC));
  const elf = readElf(file);

  it('finds a function by its dynamic symbol, and its bytes through PT_LOAD', () => {
    const malloc = elf.findSymbol('malloc')!;
    assert.equal(malloc.type, SymbolType.FUNC);
    const offset = elf.vaddrToFileOffset(malloc.value)!;
    assert.equal(elf.fileOffsetToVaddr(offset), malloc.value);
    const text = elf.segments.find((s) => s.type === SegmentType.LOAD && (s.flags & SegmentFlag.EXEC) !== 0)!;
    assert.ok(offset >= text.offset && offset < text.offset + text.fileSize);
  });

  it('maps no address to the file that is not loaded from it', () => {
    assert.equal(elf.vaddrToFileOffset(1n << 62n), undefined);
    assert.equal(elf.fileOffsetToVaddr(file.length + 1e9), undefined);
  });

  it('reads the soname and relocations of the dynamic section', () => {
    assert.match(elf.dynamic?.soname ?? '', /^(libc\.so\.6|libc\.musl\S*)$/);
    for (const { symbol } of elf.dynamic!.relocations()) assert.ok(symbol < elf.dynsym!.count);
  });

  it('prefers the current version of a symbol to superseded ones', () => {
    for (const { name, superseded } of elf.dynsym!) {
      if (superseded || name === '') continue;
      const found = elf.findSymbol(name);
      assert.ok(found === undefined || !found.superseded, name);
    }
  });

  it('tells the same dynamic symbols without the section table', () => {
    const stripped = readElf(patchHeader(file.slice(), { shoff: 0n, shnum: 0, shstrndx: 0 }));
    assert.deepEqual(stripped.sections, []);
    assert.equal(stripped.symtab, undefined);
    assert.equal(stripped.dynsym!.count, elf.dynsym!.count);
    assert.deepEqual(stripped.findSymbol('malloc')!.value, elf.findSymbol('malloc')!.value);
  });
});

describe('readElf on the executable of this process', () => {
  it('finds the last of its functions by name, and a build-id if there is one', () => {
    const elf = readElf(readFileSync(process.execPath));
    assert.equal(elf.header.machine, Machine.X86_64);
    const symbols = (elf.symtab ?? elf.dynsym)!;
    let index = symbols.count - 1;
    while (symbols.at(index).type !== SymbolType.FUNC || symbols.at(index).section === 0) index--;
    assert.equal(elf.findSymbol(symbols.at(index).name)!.value, symbols.at(index).value);
    assert.match(elf.buildId ?? '00', /^([0-9a-f]{2})+$/);
  });
});

describe('readElf on malformed files', () => {
  for (const [why, spoil, code] of [
    ['a section table past the end', (f) => patchHeader(f, { shoff: 1n << 63n }), 'ELF_TRUNCATED'],
    [
      'a program header table past the end',
      (f) => patchHeader(f, { phoff: 1n << 40n, phnum: 1, phentsize: 56 }),
      'ELF_TRUNCATED',
    ],
    ['section headers of another size', (f) => patchHeader(f, { shentsize: 63 }), 'ELF_BAD_HEADER'],
    ['program headers of another size', (f) => patchHeader(f, { phnum: 1, phentsize: 55 }), 'ELF_BAD_HEADER'],
    ['names in a section that does not exist', (f) => patchHeader(f, { shstrndx: 999 }), 'ELF_BAD_HEADER'],
    [
      'a section name outside the names',
      (f) => patchSectionHeader(f, 'license', { name: 0xffff_fff0 }),
      'ELF_BAD_STRING',
    ],
    [
      'a section that ends behind the file',
      (f) => patchSectionHeader(f, 'license', { size: 1n << 62n }),
      'ELF_TRUNCATED',
    ],
    [
      'a compressed section',
      (f) => patchSectionHeader(f, 'license', { flags: SectionFlag.COMPRESSED }),
      'ELF_COMPRESSED',
    ],
    ['symbols of another size', (f) => patchSectionHeader(f, '.symtab', { entsize: 25n }), 'ELF_BAD_HEADER'],
    ['symbols without strings', (f) => patchSectionHeader(f, '.symtab', { link: 12345 }), 'ELF_BAD_HEADER'],
    ['relocations of another size', (f) => patchSectionHeader(f, '.reluprobe', { entsize: 0n }), 'ELF_BAD_HEADER'],
  ] satisfies [string, (file: Uint8Array) => unknown, string][]) {
    it(`refuses ${why} with ${code}`, () => {
      const file = objectFile('count');
      spoil(file);
      assert.throws(
        () => readAll(file),
        (e) => e instanceof ElfError && e.code === code,
      );
    });
  }

  it('takes the counts from the first section if the header has no room for them', () => {
    const file = objectFile('count');
    const { shnum, shstrndx } = readElf(file).header;
    patchSectionHeader(file, '', { size: BigInt(shnum), link: shstrndx });
    patchHeader(file, { shnum: 0, shstrndx: 0xffff });
    assert.equal(readElf(file).sections.length, shnum);
    patchSectionHeader(file, '', { size: 1n << 48n });
    assert.throws(() => readElf(file).sections, { code: 'ELF_BAD_HEADER' });
  });

  it('gives a result or an ElfError for any mutation', () => {
    const objects = [objectFile('calls'), objectFile('data', 'clang-14')];
    const mutation = fc.record({
      object: fc.constantFrom(...objects),
      edits: fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), inTables: fc.boolean() }), {
        maxLength: 8,
      }),
      length: fc.option(fc.nat(), { nil: undefined, freq: 4 }),
    });
    fc.assert(
      fc.property(mutation, ({ object, edits, length }) => {
        const file = object.slice(0, length === undefined ? undefined : length % object.length);
        for (const { at, byte, inTables } of edits) {
          // Half of the edits hit the headers, where they hurt most.
          const tables = Number(readElf(object).header.shoff);
          file[inTables ? tables + (at % (object.length - tables)) : at % object.length] = byte;
        }
        assertElfErrorOrNothing(() => readAll(file));
      }),
      { numRuns: 500 },
    );
  });
});

function assertElfErrorOrNothing(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
  }
}
