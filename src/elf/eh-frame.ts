/**
 * Where functions lie, as the unwinder knows it: also those that have no symbol. Read from .eh_frame_hdr and the frame
 * descriptions it points to; only the encodings that linkers write are understood.
 * Source: Linux Standard Base, "Exception Frames"; DWARF 5, 6.4.1.
 */
import { viewOf } from '../bytes/struct.ts';
import type { ElfFile } from './elf-file.ts';
import { SegmentType } from './segments.ts';

/** eh_frame_ptr: pcrel | sdata4; fde_count: udata4; table: datarel | sdata4. */
const ENCODINGS = [0x1b, 0x03, 0x3b] as const;
const HEADER_SIZE = 12;

/** The first address of each function and the first behind it, before relocation, in ascending order. */
export function* readFunctionRanges(elf: ElfFile): Generator<{ readonly start: bigint; readonly end: bigint }> {
  const segment = elf.segments.find(({ type }) => type === SegmentType.EH_FRAME);
  if (segment === undefined || segment.fileSize < HEADER_SIZE) return;
  const header = elf.bytesAt(segment.address, segment.fileSize);
  if (header[0] !== 1 || ENCODINGS.some((encoding, i) => header[1 + i] !== encoding)) return;
  const view = viewOf(header);
  const count = Math.min(view.getUint32(8, true), Math.floor((header.length - HEADER_SIZE) / 8));
  for (let row = 0; row < count; row++) {
    const start = segment.address + BigInt(view.getInt32(HEADER_SIZE + row * 8, true));
    const size = readSize(elf, segment.address + BigInt(view.getInt32(HEADER_SIZE + row * 8 + 4, true)), start);
    if (size !== undefined) yield { start, end: start + BigInt(size) };
  }
}

/** FDE: length u32 | CIE distance u32 | start, relative to itself, i32 | size u32. Undefined if it is about another start. */
function readSize(elf: ElfFile, address: bigint, start: bigint): number | undefined {
  const fde = elf.bytesAt(address, 16);
  if (fde.length < 16) return undefined;
  const view = viewOf(fde);
  return address + 8n + BigInt(view.getInt32(8, true)) === start ? view.getUint32(12, true) : undefined;
}
