/**
 * What an attach implementation tells the compiler about its site. The context is laid into the function's own stack,
 * field by field, and the passes do the rest: what is loaded from known places becomes the register that holds it, what
 * is never loaded is never stored, and only where the context's address escapes is the struct there in memory.
 */
import { CONSTANT_FLAGS, type FlagsSource, LAHF_FLAGS, OVERFLOW_BIT } from '../arch/x64/pt-regs.ts';
import type { Reg } from '../arch/x64/registers.ts';
import { type AnyStruct, struct } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { SiteSource, Size, Value } from '../ir/value.ts';

/** Where a field of the context is found. */
export type FieldSource =
  /** As any value of the site. */
  | SiteSource
  /** Among the flags that were put aside there. */
  | FlagsSource
  /** In the low half of a register: a C int, which is made longer. */
  | { readonly in: 'lowHalf'; readonly register: number }
  /** It is the address of another field. */
  | { readonly in: 'addressOf'; readonly field: string };

/** Where each field of the program's context lives when the site is reached. */
export interface ContextModel {
  readonly struct: AnyStruct;
  /** One for every field of `struct`. */
  readonly fields: Readonly<Record<string, FieldSource>>;
  /** What bpf_get_func_ip gives. */
  readonly functionIp: SiteSource;
  /** Tells models apart that an implementation makes for one kind at one and the same place. */
  readonly variant?: string;
  /** Registers that hold nothing there: programs change them at no cost, and whoever runs them saves none. */
  readonly free?: readonly Reg[];
  /** Fields that a program which may change the target can write: registers, with which the site goes on. */
  readonly writable?: readonly string[];
  /** Why fields are not that are elsewhere; nothing more to say if not given. */
  readonly whyReadOnly?: string | undefined;
  /** Fields that hold the arguments of the function, where they are there. */
  readonly arguments?: readonly string[];
  /** The field that holds what the function returned, or is to return. */
  readonly result?: { readonly field: string; readonly is: 'returned' | 'to return' };
  /**
   * Whether the program decides if the function runs: `ifSet` bypasses it if a value to return was set; `always`
   * does, with that value or else what the program returns. The body's result is 1 if it is bypassed, else 0.
   */
  readonly bypass?: 'ifSet' | 'always';
  /** True where a call has just arrived: the stack pointer points to where it returns to. */
  readonly isAtEntry?: boolean;
  /** What a walk of the stack begins with, where the context does not have it. */
  readonly frame?: Readonly<Record<keyof typeof Frame.offsetOf, SiteSource>>;
  /** The register that a value to return goes into, where no field of the context is for it. */
  readonly returnsIn?: Reg;
}

/** Behind the context: whether a value to return was set, and which. */
export const OUTCOME_SIZE = 16;

/** Behind that: what a walk of the stack begins with. */
export const Frame = struct('frame', 24, { ip: 'u64', sp: 'u64', bp: 'u64' });

/** Where that is, in bytes from the context. */
export function frameOffset({ struct: { size }, bypass }: ContextModel): number {
  return size + (bypass === undefined ? 0 : OUTCOME_SIZE);
}

/** Writes the context into memory; the result is its address. */
export function emitContext(b: Builder, model: ContextModel): Value {
  const { struct, fields, bypass, frame } = model;
  const behind = frameOffset(model);
  const context = b.stack(behind + (frame === undefined ? 0 : Frame.size));
  if (bypass !== undefined) b.store(8, context, struct.size, 0);
  for (const field of ['ip', 'sp', 'bp'] as const) {
    if (frame !== undefined) b.store(8, context, behind + Frame.offsetOf[field], b.site(frame[field]));
  }
  for (const [field, offset] of Object.entries(struct.offsetOf)) {
    const source = fields[field];
    if (source === undefined) throw new RangeError(`the context model lacks ${struct.name}.${field}`);
    const value = source.in === 'addressOf' ? b.add(context, struct.offsetOf[source.field]!) : emitField(b, source);
    b.store(struct.sizeOf[field] as Size, context, offset, value);
  }
  return context;
}

function emitField(b: Builder, source: Exclude<FieldSource, { readonly in: 'addressOf' }>): Value {
  switch (source.in) {
    case 'savedFlags':
      return emitFlags(b, source);
    case 'lowHalf':
      return b.unary('sext32', b.site({ in: 'register', register: source.register }));
    default:
      return b.site(source);
  }
}

/** The flags register, put together again. */
function emitFlags(b: Builder, { offset }: FlagsSource): Value {
  const word = b.site({ in: 'stack', offset });
  const flags = b.and(b.shr(word, 8), LAHF_FLAGS);
  const overflow = b.shl(b.and(word, 1), OVERFLOW_BIT);
  return b.or(b.or(flags, overflow), CONSTANT_FLAGS);
}
