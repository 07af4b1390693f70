/** What a program begins with: it does not run, and is not counted, once its controller has died. */
import type { Builder } from '../ir/builder.ts';
import { HOLDER_DIED } from '../sys/robust-word.ts';

/** Leaves the program where the word at `cell` says that its holder has died; the function goes on as if unprobed. */
export function emitLeaseTest(b: Builder, cell: bigint): void {
  b.when(b.compare('uge', b.load(4, b.const(cell)), HOLDER_DIED), () => b.return(0), 'cold');
}
