/**
 * What an attach implementation tells the compiler about its site. The context is laid into the function's own stack,
 * field by field, and the passes do the rest: what is loaded from known places becomes the register that holds it, what
 * is never loaded is never stored, and only where the context's address escapes is the struct there in memory.
 */
import { CONSTANT_FLAGS, type FlagsSource, LAHF_FLAGS, OVERFLOW_BIT } from '../arch/x64/pt-regs.ts';
import type { AnyStruct } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { SiteSource, Size, Value } from '../ir/value.ts';

/** Where each field of the program's context lives when the site is reached. */
export interface ContextModel {
  readonly struct: AnyStruct;
  /** One for every field of `struct`. */
  readonly fields: Readonly<Record<string, SiteSource | FlagsSource>>;
  /** What bpf_get_func_ip gives. */
  readonly functionIp: SiteSource;
  /** Tells models apart that an implementation makes for one and the same place. */
  readonly variant?: string;
}

/** Writes the context into memory; the result is its address. */
export function emitContext(b: Builder, { struct, fields }: ContextModel): Value {
  const context = b.stack(struct.size);
  for (const [field, offset] of Object.entries(struct.offsetOf)) {
    const source = fields[field];
    if (source === undefined) throw new RangeError(`the context model lacks ${struct.name}.${field}`);
    b.store(
      struct.sizeOf[field] as Size,
      context,
      offset,
      source.in === 'savedFlags' ? emitFlags(b, source) : b.site(source),
    );
  }
  return context;
}

/** The flags register, put together again. */
function emitFlags(b: Builder, { offset }: FlagsSource): Value {
  const word = b.load(8, b.site({ in: 'stackPointer', offset: 0 }), offset);
  const flags = b.and(b.shr(word, 8), LAHF_FLAGS);
  const overflow = b.shl(b.and(word, 1), OVERFLOW_BIT);
  return b.or(b.or(flags, overflow), CONSTANT_FLAGS);
}
