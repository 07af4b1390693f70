/** The ways a program can begin and end: at a site, with a context there, or as a function of memory. */
import type { CallModel, FrameModel } from '../helpers/helper.ts';
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Size, Value } from '../ir/value.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { type ContextModel, emitContext, Frame, frameOffset } from './context-model.ts';
import { CompileError } from './errors.ts';
import type { ProgramEntry, ProgramRun } from './program.ts';

/** What struct pt_regs begins with. */
const FIRST_REGISTER = 'r15';

/** r1 is the context of a site. @param begin writes what runs before the program's first instruction */
export function siteEntry(model: ContextModel, begin?: (b: Builder) => ProgramRun): ProgramEntry {
  return new SiteEntry(model, begin);
}

/** r1 and r2 are params: the address of memory and its size. For `vm` and for tests. */
export const MEMORY_ENTRY: ProgramEntry = {
  paramCount: 2,
  functionIp: { in: 'constant', value: 0n },
  emitFunctionIp: (b) => b.const(0),
  call: { arguments: undefined, result: undefined, outcome: undefined, registers: undefined, frame: undefined },
  emit: (b) => b.params(),
  slot: undefined,
  contextIn: () => undefined,
  write: () => 'allowed',
  whyReadOnly: undefined,
  checkContext: () => undefined,
};

class SiteEntry implements ProgramEntry {
  readonly paramCount = 0;
  readonly call: CallModel;
  readonly #model: ContextModel;
  readonly #begin: ((b: Builder) => ProgramRun) | undefined;
  #run: ProgramRun | undefined;
  readonly #written = new Set<string>();
  #context: { readonly fn: IrFunction; readonly address: Value } | undefined;

  constructor(model: ContextModel, begin: ((b: Builder) => ProgramRun) | undefined) {
    const { struct, result, bypass } = model;
    this.#model = model;
    this.#begin = begin;
    this.call = {
      arguments: model.arguments?.map((field) => struct.offsetOf[field]!),
      result: result?.is === 'returned' ? struct.offsetOf[result.field] : undefined,
      outcome: bypass === undefined ? undefined : struct.size,
      registers: (struct.offsetOf as Readonly<Record<string, number>>)[FIRST_REGISTER],
      frame: frameOf(model),
    };
  }

  get functionIp(): ContextModel['functionIp'] {
    return this.#model.functionIp;
  }

  emitFunctionIp(b: Builder): Value {
    return b.site(this.#model.functionIp);
  }

  emit(b: Builder): readonly Value[] {
    this.#run = this.#begin?.(b);
    const address = emitContext(b, this.#model);
    this.#context = { fn: b.fn, address };
    return [address];
  }

  get slot(): Value | undefined {
    return this.#run?.slot;
  }

  contextIn(fn: IrFunction): Value | undefined {
    return this.#context?.fn === fn ? this.#context.address : undefined;
  }

  write(offset: number, size: Size): 'allowed' | 'read only' {
    const { struct, writable = [] } = this.#model;
    const field = writable.find((name) => {
      const from = struct.offsetOf[name]!;
      return offset >= from && offset + size <= from + struct.sizeOf[name]!;
    });
    if (field === undefined) return 'read only';
    this.#written.add(field);
    return 'allowed';
  }

  get whyReadOnly(): string | undefined {
    return this.#model.whyReadOnly;
  }

  checkContext({ name, contextSize }: VerifiedProgram): void {
    const { struct } = this.#model;
    if (contextSize <= struct.size) return;
    throw new CompileError(
      'COMPILE_CONTEXT_TOO_SMALL',
      `cannot compile ${name}: it uses ${contextSize} bytes of its context, ${struct.name} has ${struct.size}`,
      { fix: 'attach it to what its section is for' },
    );
  }

  leave(b: Builder, r0: Value): Value {
    this.#run?.end?.(b);
    const { struct, bypass, returnsIn } = this.#model;
    const context = this.#context!.address;
    for (const field of this.#written) {
      b.siteStore(this.#register(field), b.load(struct.sizeOf[field] as Size, context, struct.offsetOf[field]!));
    }
    if (bypass === undefined) return r0;
    const result = returnsIn ?? this.#register(this.#model.result!.field);
    const isSet = b.load(8, context, struct.size);
    const value = b.load(8, context, struct.size + 8);
    if (bypass === 'always') {
      b.siteStore(result, b.select(isSet, value, r0));
      return b.const(1);
    }
    b.when(isSet, () => b.siteStore(result, value));
    return isSet;
  }

  #register(field: string): number {
    const source = this.#model.fields[field];
    if (source?.in !== 'register') throw new RangeError(`${this.#model.struct.name}.${field} is in no register`);
    return source.register;
  }
}

/** In the context where it has them, else behind it. */
function frameOf(model: ContextModel): FrameModel | undefined {
  const { struct, isAtEntry = false, frame } = model;
  const at = frame === undefined ? 0 : frameOffset(model);
  const { ip, sp, bp } = frame === undefined ? struct.offsetOf : Frame.offsetOf;
  if (ip === undefined || sp === undefined || bp === undefined) return undefined;
  return { ip: at + ip, sp: at + sp, bp: at + bp, isAtEntry };
}
