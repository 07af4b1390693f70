/** The global functions of one program: which there are, and which were called. */
import type { LinkedProgram } from '../object/spec.ts';
import type { VerifyOptions } from './options.ts';
import { type Parameter, readSignature, type Signature } from './signature.ts';
import type { GlobalFunctions } from './step.ts';

/** A function that is called by its types, and has to be verified by itself. */
export interface CalledFunction {
  readonly subprogram: number;
  readonly parameters: readonly Parameter[];
}

/** Reads the types of functions when they are first called. */
export class GlobalSignatures implements GlobalFunctions {
  readonly #program: LinkedProgram;
  readonly #options: VerifyOptions;
  readonly #called = new Map<number, Signature>();

  constructor(program: LinkedProgram, options: VerifyOptions) {
    this.#program = program;
    this.#options = options;
  }

  signatureOf(subprogram: number): Signature | undefined {
    const { linkage, type } = this.#program.subprograms[subprogram]!;
    const { btf, kind } = this.#options;
    if (linkage === 'static' || type === undefined || btf === undefined) return undefined;
    const known = this.#called.get(subprogram);
    if (known !== undefined) return known;
    const signature = readSignature(btf, type, kind);
    this.#called.set(subprogram, signature);
    return signature;
  }

  /** Every function that is called by its types, also by one of these: while they are verified more may be added. */
  *called(): Iterable<CalledFunction> {
    // A Map's iteration goes on to what is added meanwhile. A call of one without a signature was refused.
    for (const [subprogram, signature] of this.#called) {
      if (signature.reason === undefined) yield { subprogram, parameters: signature.parameters };
    }
  }
}
