/** Notes: build-id and its kin. Source: System V ABI, "Note Section"; <elf.h>, NT_GNU_BUILD_ID. */
import { alignUp } from '../bytes/align.ts';
import { cString } from '../bytes/c-string.ts';
import { struct } from '../bytes/struct.ts';

/** Type of the note named 'GNU' that holds the build-id. */
export const NT_GNU_BUILD_ID = 3;

const Nhdr = struct('Elf64_Nhdr', 12, { nameSize: 'u32', descSize: 'u32', type: 'u32' });

export interface Note {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

/** The notes of one section or segment; ends early at one that does not fit. */
export function* readNotes(bytes: Uint8Array): Generator<Note> {
  for (let at = 0; at + Nhdr.size <= bytes.length; ) {
    const { nameSize, descSize, type } = Nhdr.read(bytes, at);
    const descAt = at + Nhdr.size + alignUp(nameSize, 4);
    if (descAt + descSize > bytes.length) return;
    const name = bytes.subarray(at + Nhdr.size, at + Nhdr.size + nameSize);
    yield { name: cString(name, 0) ?? '', type, desc: bytes.subarray(descAt, descAt + descSize) };
    at = descAt + alignUp(descSize, 4);
  }
}
