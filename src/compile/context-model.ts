/**
 * What an attach implementation tells the compiler about its site. The context is laid into the function's own stack,
 * field by field, and the passes do the rest: what is loaded from known places becomes the register that holds it, what
 * is never loaded is never stored, and only where the context's address escapes is the struct there in memory.
 */
import type { AnyStruct } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { SiteSource, Size, Value } from '../ir/value.ts';

/** Where each field of the program's context lives when the site is reached. */
export interface ContextModel {
  readonly struct: AnyStruct;
  /** One for every field of `struct`. */
  readonly fields: Readonly<Record<string, SiteSource>>;
  /** What bpf_get_func_ip gives. */
  readonly functionIp: SiteSource;
  /** Fields that a program which may change the target can write: registers, with which the site goes on. */
  readonly writable?: readonly string[];
  /** Fields that hold the arguments of the function, where they are there. */
  readonly arguments?: readonly string[];
  /** The field that holds what the function returned, or is to return. */
  readonly result?: { readonly field: string; readonly is: 'returned' | 'to return' };
  /**
   * Whether the program decides if the function runs: `ifSet` bypasses it if a value to return was set; `always`
   * does, with that value or else what the program returns. The body's result is 1 if it is bypassed, else 0.
   */
  readonly bypass?: 'ifSet' | 'always';
}

/** Behind the context: whether a value to return was set, and which. */
export const OUTCOME_SIZE = 16;

/** Writes the context into memory; the result is its address. */
export function emitContext(b: Builder, { struct, fields, bypass }: ContextModel): Value {
  const context = b.stack(struct.size + (bypass === undefined ? 0 : OUTCOME_SIZE));
  if (bypass !== undefined) b.store(8, context, struct.size, 0);
  for (const [field, offset] of Object.entries(struct.offsetOf)) {
    const source = fields[field];
    if (source === undefined) throw new RangeError(`the context model lacks ${struct.name}.${field}`);
    b.store(struct.sizeOf[field] as Size, context, offset, b.site(source));
  }
  return context;
}
