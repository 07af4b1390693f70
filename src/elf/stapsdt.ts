/**
 * Static probes (USDT): what the macros of <sys/sdt.h> leave in a binary, a nop in the code and a note that names it.
 * Source: SystemTap, "User Space Probe Implementation"; the notes lie in a section that no segment maps.
 */
import { cString } from '../bytes/c-string.ts';
import { viewOf } from '../bytes/struct.ts';
import type { ElfFile } from './elf-file.ts';
import { readNotes } from './notes.ts';

const NOTE_TYPE = 3;
/** Address of the nop, address of .stapsdt.base when it was linked, address of the semaphore: u64 each; then three texts. */
const TEXTS_AT = 24;

export interface StaticProbe {
  readonly provider: string;
  readonly name: string;
  /** Address of the nop, before relocation. */
  readonly address: bigint;
  /** Address, before relocation, of a u16 that is not 0 while somebody listens; undefined if there is none. */
  readonly semaphore: bigint | undefined;
  /** Where the arguments are, as the assembler saw them: `-4@%edi 8@-16(%rbp)`. */
  readonly args: string;
}

/** Every static probe of a file, in the order of its notes; a note that is cut short is left out. */
export function* readStaticProbes(elf: ElfFile): Generator<StaticProbe> {
  const section = elf.section('.note.stapsdt');
  if (section === undefined) return;
  const base = elf.section('.stapsdt.base')?.address;
  for (const { name: owner, type, desc } of readNotes(elf.data(section))) {
    if (owner !== 'stapsdt' || type !== NOTE_TYPE || desc.length < TEXTS_AT) continue;
    const view = viewOf(desc);
    // A tool that moves the sections of a linked file leaves notes as they are; the base tells by how much.
    const moved = base === undefined ? 0n : base - view.getBigUint64(8, true);
    const semaphore = view.getBigUint64(16, true);
    const [provider, name, args] = texts(desc, 3);
    if (provider === undefined || name === undefined) continue;
    yield {
      provider,
      name,
      address: view.getBigUint64(0, true) + moved,
      semaphore: semaphore === 0n ? undefined : semaphore + moved,
      args: args ?? '',
    };
  }
}

function texts(desc: Uint8Array, count: number): (string | undefined)[] {
  const found: (string | undefined)[] = [];
  for (let at = TEXTS_AT; found.length < count; at += (found.at(-1)?.length ?? 0) + 1) found.push(cString(desc, at));
  return found;
}
