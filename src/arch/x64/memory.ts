/** Memory operands of x86-64 instructions. Source: Intel SDM vol. 2A, 2.1.5 (ModRM and SIB) and 2.2.1.6 (RIP-relative). */
import type { Reg } from './registers.ts';

export type Scale = 1 | 2 | 4 | 8;

/** [base + index * scale + disp], of the segment fs if so said. */
export interface Indirect {
  readonly base: Reg | undefined;
  /** Any register but rsp. */
  readonly index: Reg | undefined;
  readonly scale: Scale;
  /** Signed, 32 bits. */
  readonly disp: number;
  readonly segment: 'fs' | undefined;
}

/** A place known now: RIP-relative within 2 GB of the instruction, else by its low, sign-extended 32 bits. */
export interface Absolute {
  readonly absolute: bigint;
}

export type Mem = Indirect | Absolute;

/** [base + disp] */
export function at(base: Reg, disp = 0): Mem {
  return { base, index: undefined, scale: 1, disp, segment: undefined };
}

/** [base + index * scale + disp] */
export function indexed(base: Reg | undefined, index: Reg, scale: Scale, disp = 0): Mem {
  return { base, index, scale, disp, segment: undefined };
}

/** [address] */
export function absolute(address: bigint): Mem {
  return { absolute: address };
}

/** fs:[disp] */
export function thread(disp: number): Mem {
  return { base: undefined, index: undefined, scale: 1, disp, segment: 'fs' };
}
