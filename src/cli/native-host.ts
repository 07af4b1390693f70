/**
 * The child that `vm` runs machine code in. It tells where code must lie, then runs what it is sent. What crashes here
 * crashes nobody else.
 */
import { ExecutableMemory } from '../index.ts';

/** A program made for the place the host has told, and the memory it works on. */
export interface ToNativeHost {
  readonly code: Uint8Array;
  readonly memory: Uint8Array;
}

/** First the address that code must be made for, then r0 of each program. */
export interface FromNativeHost {
  readonly value: bigint;
}

const CODE_SIZE = 1 << 24;

const place = new ExecutableMemory(CODE_SIZE);
const tell = (value: bigint): boolean | undefined => process.send?.({ value } satisfies FromNativeHost);
process.on('message', ({ code, memory }: ToNativeHost) => tell(place.run(code, memory)));
tell(place.address);
