/** Our verdict on a program, in the form in which it is compared with the kernel's. */
import type { Btf } from '../../src/btf/btf.ts';
import { PROTOTYPES as HELPERS } from '../../src/helpers/kernel-prototypes.ts';
import { PERMISSIONS } from '../../src/helpers/prototype.ts';
import type { MapSpec } from '../../src/maps/map-type.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import type { VerifierError } from '../../src/verifier/errors.ts';
import type { VerifyOptions } from '../../src/verifier/options.ts';
import { PROGRAM_KINDS, type ProgramKind } from '../../src/verifier/program-kind.ts';
import { verify } from '../../src/verifier/verify.ts';

/** A program and what surrounds it. */
export interface VerifierSubject {
  readonly program: LinkedProgram;
  readonly maps: readonly MapSpec[];
  readonly type: ProgramKind['name'];
  readonly btf?: Btf | undefined;
}

/** What we say. */
export interface OurVerdict {
  readonly accepted: boolean;
  /** Without `cannot accept program ...`; '' if accepted. */
  readonly message: string;
  /** Where it was refused, as a slot. */
  readonly slot: number | undefined;
  readonly processed: number;
}

/** What a privileged user of the kernel may do is allowed: all but changing what functions get and return. */
export function verifyOptions({ maps, type, btf }: Omit<VerifierSubject, 'program'>): VerifyOptions {
  return {
    kind: PROGRAM_KINDS[type],
    helpers: HELPERS,
    maps: new Map(maps.map((map) => [map.name, map])),
    btf,
    allow: new Set(PERMISSIONS.filter((permission) => permission !== 'override')),
  };
}

/** Verifies a program; a bug that throws is no verdict. */
export function ourVerdict(subject: VerifierSubject, observe?: VerifyOptions['observe']): OurVerdict {
  const verdict = verify(subject.program, { ...verifyOptions(subject), ...(observe && { observe }) });
  const processed = verdict.effort.insnsProcessed;
  if (verdict.verdict === 'accept') return { accepted: true, message: '', slot: undefined, processed };
  const { error } = verdict;
  const slot = subject.program.insns[error.insn]?.slot;
  return { accepted: false, message: reasonOf(error), slot, processed };
}

/** What a refusal says beyond who was refused. */
export function reasonOf(error: VerifierError): string {
  return error.message.replace(/^cannot accept program \S+: /, '');
}
