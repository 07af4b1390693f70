/** Programs of tests, checked and compiled without a target around them. */

import { Assembler } from '../../src/arch/x64/assembler.ts';
import { emitSysVFunction } from '../../src/arch/x64/lower.ts';
import type { CompileOptions } from '../../src/compile/program.ts';
import { compileFunction } from '../../src/compile/to-ir.ts';
import type { Helper, TargetFacts } from '../../src/helpers/helper.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { bareProgram } from '../../src/verifier/bare-program.ts';
import { checkStructure, type VerifiedProgram } from '../../src/verifier/check-structure.ts';

/** Addresses that nothing is at: for programs that ask nothing of their target. */
export const NO_FACTS: TargetFacts = {
  clockGettime: undefined,
  pidCell: 0n,
  tidOffset: undefined,
  tickNs: 4_000_000n,
  printkRing: 0n,
  randomState: 0n,
  wakesConsumers: true,
};

/** Options without maps; any helper goes. */
export function bareOptions(helpers: ReadonlyMap<number, Helper> = new Map()): CompileOptions {
  return { maps: new Map(), helpers, facts: NO_FACTS, attachCookie: 0n, forbid: new Set() };
}

/** Checks instructions that stand for themselves. @throws {VerifierError} */
export function checkBare(insns: readonly Insn[], helpers: ReadonlyMap<number, Helper> = new Map()): VerifiedProgram {
  return checkStructure(bareProgram('test', insns), { helpers, arguments: 2 });
}

/** The machine code of a checked program, as a C function of memory and size at `address`. */
export function nativeCode(
  program: VerifiedProgram,
  address: bigint,
  helpers: ReadonlyMap<number, Helper> = new Map(),
): Uint8Array {
  const a = new Assembler(address);
  emitSysVFunction(a, compileFunction(program, bareOptions(helpers)));
  return a.finish();
}
