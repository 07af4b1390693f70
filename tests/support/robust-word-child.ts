/**
 * Holds robust words, as many as the first argument says, each in a memory file of its own. Prints what each word says and
 * under which descriptor its file is open, waits for a byte on stdin, gives the first one back if the second argument says so,
 * and ends when stdin does.
 */
import { readSync } from 'node:fs';
import { libc } from '../../src/sys/libc.ts';
import { ROBUST_WORD_FROM_END, RobustWord } from '../../src/sys/robust-word.ts';
import { mapSharedFile } from '../../src/sys/shared-mapping.ts';

const SIZE = 8192;
const MFD_ALLOW_SEALING = 2;
const MEMFD_CREATE = 319;

const [count, release] = process.argv.slice(2);
const name = libc('mmap', 'mmap', 0, 4096, 3, 0x22, -1, 0);
const held = Array.from({ length: Number(count) }, () => {
  const fd = libc('memfd_create', 'syscall', MEMFD_CREATE, name, MFD_ALLOW_SEALING, 0, 0);
  const mapping = mapSharedFile(`/proc/self/fd/${fd}`, { size: SIZE });
  return { fd, mapping, robust: new RobustWord(mapping) };
});
for (const { fd, mapping } of held) {
  console.log(`${fd} ${new DataView(mapping.buffer).getUint32(SIZE - ROBUST_WORD_FROM_END, true)}`);
}
readSync(0, new Uint8Array(1));
if (release !== undefined) held[0]!.robust[Symbol.dispose]();
console.log('released');
readSync(0, new Uint8Array(1));
