/** From a verified program to optimised IR: what needs no processor. */
import { optimize } from '../ir/passes/optimize.ts';
import type { IrFunction } from '../ir/value.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import type { ContextModel } from './context-model.ts';
import { MEMORY_ENTRY, siteEntry } from './entry.ts';
import { type CompileOptions, type ProgramEntry, translateProgram } from './program.ts';
import { usesSlots } from './program-calls.ts';
import { calleesOf } from './tail-callees.ts';

/**
 * The program as it runs at one site: a function of no params.
 *
 * @throws {CompileError} each of its codes
 */
export function compileForSite(program: VerifiedProgram, model: ContextModel, options: CompileOptions): IrFunction {
  const { begin } = options;
  const callees = calleesOf(program, options.tailCalls).map((callee) => callee.program);
  const needsSlot = [program, ...callees].some((one) => usesSlots(one, options));
  return compile(program, siteEntry(model, begin && ((b) => begin(b, needsSlot ? 'one' : 'none'))), options);
}

/**
 * The program as a function of two params, the address of memory and its size.
 *
 * @throws {CompileError} each of its codes
 */
export function compileFunction(program: VerifiedProgram, options: CompileOptions): IrFunction {
  return compile(program, MEMORY_ENTRY, options);
}

function compile(program: VerifiedProgram, entry: ProgramEntry, options: CompileOptions): IrFunction {
  const main = translateProgram(program, entry, options);
  optimize(main);
  return main;
}
