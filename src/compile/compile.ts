/** From a verified program to machine code: bytecode, IR, passes, registers. */
import { type LoweredProgram, type LowerOptions, lower } from '../arch/x64/lower.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import type { ContextModel } from './context-model.ts';
import type { CompileOptions } from './program.ts';
import { compileForSite } from './to-ir.ts';

export type { LoweredProgram };

/**
 * Compiles a program for one site.
 *
 * @throws {CompileError} each of its codes
 */
export function compileProgram(
  program: VerifiedProgram,
  model: ContextModel,
  options: CompileOptions & LowerOptions,
): LoweredProgram {
  return lower(compileForSite(program, model, options), options);
}
