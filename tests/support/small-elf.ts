/** Programs small enough to be written by hand: of architectures that no compiler here need know. Source: elf(5). */
import { struct } from '../../src/bytes/struct.ts';

/** Elf32_Ehdr, all of it. */
const Ehdr32 = struct('Elf32_Ehdr', 52, {
  magic: 'u32',
  classDataVersionAbi: 'u32',
  padding: 'u64',
  type: 'u16',
  machine: 'u16',
  version: 'u32',
  entry: 'u32',
  phoff: 'u32',
  shoff: 'u32',
  flags: 'u32',
  ehsize: 'u16',
  phentsize: 'u16',
  phnum: 'u16',
  shentsize: 'u16',
  shnum: 'u16',
  shstrndx: 'u16',
});

/** Elf32_Phdr */
const Phdr32 = struct('Elf32_Phdr', 32, {
  type: 'u32',
  offset: 'u32',
  vaddr: 'u32',
  paddr: 'u32',
  filesz: 'u32',
  memsz: 'u32',
  flags: 'u32',
  align: 'u32',
});

const BASE = 0x0804_8000;
const HEADERS = Ehdr32.size + Phdr32.size;

/** Machine numbers: of i386, and of x86-64, whose 32-bit files are x32. */
export const Machine = { I386: 3, X32: 62 } as const;

/** A 32-bit program that says that it is ready, as those of target.h do, and pauses for ever. */
export function smallProgram(machine: number): Uint8Array {
  const code = Buffer.from(
    [
      'b804000000 bb03000000 b9xxxxxxxx ba06000000 cd80', // write(3, text, 6)
      'b806000000 bb03000000 cd80', // close(3)
      'b81d000000 cd80 ebf7', // for (;;) pause()
    ]
      .join('')
      .replaceAll(' ', '')
      .replace('xxxxxxxx', littleEndian(BASE + HEADERS + 43)),
    'hex',
  );
  const file = new Uint8Array(HEADERS + code.length + 6);
  Ehdr32.write(file, 0, {
    magic: 0x464c_457f,
    classDataVersionAbi: 0x0001_0101,
    padding: 0n,
    type: 2,
    machine,
    version: 1,
    entry: BASE + HEADERS,
    phoff: Ehdr32.size,
    shoff: 0,
    flags: 0,
    ehsize: Ehdr32.size,
    phentsize: Phdr32.size,
    phnum: 1,
    shentsize: 0,
    shnum: 0,
    shstrndx: 0,
  });
  const size = file.length;
  Phdr32.write(file, Ehdr32.size, {
    type: 1,
    offset: 0,
    vaddr: BASE,
    paddr: BASE,
    filesz: size,
    memsz: size,
    flags: 5,
    align: 4096,
  });
  file.set(code, HEADERS);
  file.set(Buffer.from('ready\n'), HEADERS + code.length);
  return file;
}

function littleEndian(value: number): string {
  return Buffer.from(Uint32Array.of(value).buffer).toString('hex');
}
