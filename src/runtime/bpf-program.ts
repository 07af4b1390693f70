/** A program of a live object, and where it is attached. */
import type { LinkedProgram } from '../object/spec.ts';
import type { TargetProcess } from '../process/target-process.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import type { BpfLink } from './bpf-link.ts';
import { RuntimeError } from './errors.ts';
import type { AttachRequest } from './session.ts';

/** Where to attach, for programs whose section does not say it. */
export interface AttachOptions {
  /** What bpf_get_attach_cookie gives; 0 if not given. */
  readonly cookie?: bigint;
}

/** Attaches a program where a request says. */
type Attach = (target: TargetProcess, request: AttachRequest) => BpfLink;

export class BpfProgram {
  readonly #attach: Attach;
  /** The program as verified: its instructions, source lines and what they refer to. */
  readonly verified: VerifiedProgram;

  /** @internal */
  constructor(verified: VerifiedProgram, attach: Attach) {
    this.verified = verified;
    this.#attach = attach;
  }

  get name(): string {
    return this.verified.name;
  }

  /** As in the file: `uprobe/libc.so.6:malloc`. */
  get section(): string {
    return this.verified.section;
  }

  /** Attaches to where the section says. @throws as BpfObject.attachAll */
  attach(target: TargetProcess, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, attachRequest(this, undefined, options));
  }

  /** Attaches to the entry of a function: `libc.so.6:malloc`. @throws as BpfObject.attachAll */
  attachUprobe(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, attachRequest(this, `uprobe:${place}`, options));
  }

  /** Attaches to every function that a pattern matches, as one link: `libc.so.6:*alloc*`. @throws as BpfObject.attachAll */
  attachUprobeMulti(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, attachRequest(this, `uprobe.multi:${place}`, options));
  }

  /** Attaches to the return of a function: `libc.so.6:malloc`. @throws as BpfObject.attachAll */
  attachUretprobe(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, attachRequest(this, `uretprobe:${place}`, options));
  }

  /** Attaches to a place of any kind: `uprobe.override:libc.so.6:malloc`. @throws as BpfObject.attachAll */
  attachTo(target: TargetProcess, place: string, options: AttachOptions = {}): BpfLink {
    return this.#attach(target, attachRequest(this, place, options));
  }
}

/** Whether a section has only a kind, or a kind and a word that is no BINARY:FUNCTION: where such a program runs its tool decides. */
export function namesNoPlace(section: string): boolean {
  return /^[^/:]+$|^u(?:ret)?probe(?:\.s)?\/[^:]*$/.test(section);
}

/** Divides `uprobe/BINARY:FUNCTION` or `uprobe:BINARY:FUNCTION` behind its first word. */
export function attachRequest(
  { name, section }: Pick<LinkedProgram, 'name' | 'section'>,
  place: string | undefined,
  { cookie = 0n }: AttachOptions = {},
): AttachRequest {
  const match = /^(?<prefix>[^/:]+)[/:](?<place>.+)$/s.exec(place ?? section);
  if (match?.groups === undefined) {
    throw new RuntimeError('RUNTIME_NO_SECTION_TARGET', `cannot attach ${name}: ${section} names no place`, {
      fix: `leave it out: --skip ${name}, or say where: --attach ${name}=uprobe:BINARY:FUNCTION`,
    });
  }
  return { program: name, prefix: match.groups.prefix!, place: match.groups.place!, cookie };
}
