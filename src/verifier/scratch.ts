/** What calls leave of registers. */
import type { Step } from './step.ts';

/** Caller-saved: a call leaves nothing of use in them. */
const SCRATCHED = [0, 1, 2, 3, 4, 5];

/** Empties the registers that a call need not keep. */
export function scratch({ frame: { registers } }: Step): void {
  for (const register of SCRATCHED) registers[register] = undefined;
}
