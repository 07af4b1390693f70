/**
 * The stubs through which a module calls functions of others: what disassemblers print as `name@plt`. No symbol names
 * them; each jumps through a slot, and the loader's relocation of that slot has the name.
 */
import { viewOf } from '../bytes/struct.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { X64Relocation } from '../elf/relocations.ts';

/** In the order of preference: where there is a .plt.sec, the entries of .plt are only for the first call. */
const SECTIONS = ['.plt.sec', '.plt.got', '.plt'];
/** Where the section does not say. */
const STUB_SIZE = 16;

/** The stub of `name`: its address before relocation, and its size. Undefined if the module has none. */
export function findLinkageStub(
  elf: ElfFile,
  name: string,
): { readonly value: bigint; readonly size: number } | undefined {
  const slots = new Set(slotsOf(elf, name));
  for (const section of SECTIONS.map((wanted) => elf.section(wanted))) {
    if (section === undefined || slots.size === 0) continue;
    const size = section.entrySize || STUB_SIZE;
    const bytes = elf.data(section);
    const view = viewOf(bytes);
    for (let at = 0; at + 6 <= bytes.length; at++) {
      // jmp [rip+disp32]
      if (bytes[at] !== 0xff || bytes[at + 1] !== 0x25) continue;
      const slot = section.address + BigInt(at + 6 + view.getInt32(at + 2, true));
      if (slots.has(slot)) return { value: section.address + BigInt(at - (at % size)), size };
    }
  }
  return undefined;
}

/** Where the module keeps the address of an imported function. */
function* slotsOf(elf: ElfFile, name: string): Generator<bigint> {
  const names = elf.dynsym;
  if (names === undefined) return;
  for (const { type, symbol, offset } of elf.dynamic?.relocations() ?? []) {
    if (type !== X64Relocation.JUMP_SLOT && type !== X64Relocation.GLOB_DAT) continue;
    if (symbol < names.count && names.at(symbol).name === name) yield offset;
  }
}
