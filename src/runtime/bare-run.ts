/** Bare bytecode, no object around it: checked, and run here on some memory, by the interpreter or as machine code. */
import { Assembler } from '../arch/x64/assembler.ts';
import { emitSysVFunction } from '../arch/x64/lower.ts';
import { compileFunction } from '../compile/to-ir.ts';
import type { Helper, TargetFacts } from '../helpers/helper.ts';
import { HELPERS } from '../helpers/table.ts';
import { decode } from '../insn/decode.ts';
import { bareProgram } from '../verifier/bare-program.ts';
import { checkStructure, type VerifiedProgram } from '../verifier/check-structure.ts';
import { Interpreter } from '../vm/interpreter.ts';

/** The helpers that need nothing around the program: no maps, and no memory of a session. */
const BARE_HELPERS: ReadonlyMap<number, Helper> = new Map(
  [...HELPERS].filter(([, { name }]) => name === 'bpf_ktime_get_ns' || name === 'bpf_get_smp_processor_id'),
);

const NO_FACTS: TargetFacts = {
  clockGettime: undefined,
  pidCell: 0n,
  tidOffset: undefined,
  tickNs: 4_000_000n,
  randomState: 0n,
  wakesConsumers: true,
  printkRing: 0n,
};

/**
 * Decodes and checks bytecode whose r1 is the address of memory and r2 its size. It may loop.
 *
 * @throws {InsnError | VerifierError}
 */
export function checkBareProgram(code: Uint8Array): VerifiedProgram {
  return checkStructure(bareProgram('program', decode(code)), { helpers: BARE_HELPERS, arguments: 2 });
}

/** Runs a program in the interpreter; the result is r0. @throws {VmError} each of its codes */
export function interpretBare(program: VerifiedProgram, memory: Uint8Array): bigint {
  return new Interpreter(program, { helpers: BARE_HELPERS }).run(memory);
}

/**
 * A program as the C function `uint64_t f(void *memory, uint64_t size)`, made to lie at `origin`.
 *
 * @throws {CompileError} each of its codes
 */
export function compileBare(program: VerifiedProgram, origin: bigint): Uint8Array {
  const main = compileFunction(program, {
    maps: new Map(),
    helpers: BARE_HELPERS,
    facts: NO_FACTS,
    attachCookie: 0n,
    forbid: new Set(),
  });
  const a = new Assembler(origin);
  emitSysVFunction(a, main);
  return a.finish();
}
