/** The emitted side of stack_trace maps: what threads of the target run. The steps and why they are safe are told in stack-trace.ts. */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { emitGive, emitTake, linkTo } from './free-list.ts';
import { GOLDEN } from './hash-layout.ts';
import { Errno, type MapEmitContext, type MapSpec } from './map-type.ts';
import { Element, Header, type StackTraceLayout, stackTraceLayout } from './stack-trace-layout.ts';

/** Flags of bpf_get_stackid that say what becomes of a trace. Linux include/uapi/linux/bpf.h */
export const TraceFlag = { FAST_COMPARE: 0x200, REUSE_ID: 0x400 } as const;

/** The out-of-line functions of one map. */
export class StackTraceCode {
  readonly #spec: MapSpec;
  readonly #layout: StackTraceLayout;
  readonly #context: MapEmitContext;

  constructor(spec: MapSpec, context: MapEmitContext) {
    this.#spec = spec;
    this.#layout = stackTraceLayout(spec);
    this.#context = context;
  }

  /** Takes room for a trace: the address of an element, or 0. */
  take(b: Builder): Value {
    const take = emitTake(this.#context, `${this.#spec.name}.take`, this.#layout.elementSize);
    return b.call(take, [this.#list(b)]);
  }

  /** Gives back an element that nobody else can reach. */
  give(b: Builder, element: Value): void {
    b.call(emitGive(this.#context, `${this.#spec.name}.give`), [this.#list(b), element]);
  }

  /** (element with addresses, how many, flags) -> the number of the trace or a negative errno; the element is not the caller's any more */
  get keep(): IrFunction {
    return this.#function('keep', 3, (b, [element, count, flags]) => {
      const hash = b.call(this.#hash, [element!, count!]);
      b.store(4, element!, Element.hash, hash);
      b.store(4, element!, Element.count, count!);
      const id = b.and(hash, this.#layout.bucketCount - 1);
      const bucket = b.add(b.shl(id, 3), this.#context.address + BigInt(Header.size));
      const [result] = b.loop([], 1, (retry) => {
        const word = b.load(8, bucket);
        const isTaken = b.compare('ne', word, 0, 32);
        b.when(isTaken, () => {
          const isSame = b.call(this.#isSame, [this.#named(b, word), element!, flags!]);
          // Whoever replaced that trace may have used its element for another since.
          b.when(b.compare('ne', b.load(8, bucket), word), () => retry.next(), 'cold');
          b.when(isSame, () => {
            this.give(b, element!);
            retry.leave(id);
          });
          const mustStay = b.compare('eq', b.and(flags!, TraceFlag.REUSE_ID), 0);
          b.when(mustStay, () => {
            this.give(b, element!);
            retry.leave(b.const(-Errno.EEXIST));
          });
        });
        const offset = b.sub(element!, this.#context.address);
        const old = b.cmpxchg(8, bucket, 0, word, linkTo(b, word, offset));
        b.when(b.compare('ne', old, word), () => retry.next(), 'cold');
        b.when(isTaken, () => this.give(b, this.#named(b, word)));
        retry.leave(id);
      });
      b.return(result!);
    });
  }

  /** (element, count) -> a hash of its addresses, 32 bits */
  get #hash(): IrFunction {
    return this.#function('hash', 2, (b, [element, count]) => {
      const end = b.add(element!, b.shl(count!, 3));
      const [hash] = b.loop([b.const(0), element!], 1, (loop, [sum, at]) => {
        b.when(b.compare('eq', at!, end), () => loop.leave(sum!));
        const mixed = b.mul(b.xor(sum!, b.load(8, at!, Element.addresses)), GOLDEN);
        loop.next(b.xor(mixed, b.shr(mixed, 32)), b.add(at!, 8));
      });
      b.return(b.unary('zext32', hash!));
    });
  }

  /** (kept element, element, flags) -> 1 if they hold the same trace, as far as the flags want to know */
  get #isSame(): IrFunction {
    return this.#function('is-same', 3, (b, [kept, fresh, flags]) => {
      const no = () => b.return(0);
      b.when(b.compare('ne', b.load(4, kept!, Element.hash), b.load(4, fresh!, Element.hash)), no);
      b.when(b.and(flags!, TraceFlag.FAST_COMPARE), () => b.return(1));
      const count = b.load(4, fresh!, Element.count);
      b.when(b.compare('ne', b.load(4, kept!, Element.count), count), no);
      const size = b.shl(count, 3);
      b.loop([b.const(0)], 0, (loop, [at]) => {
        b.when(b.compare('eq', at!, size), () => loop.leave());
        const [one, other] = [kept!, fresh!].map((base) => b.load(8, b.add(base, at!), Element.addresses));
        b.when(b.compare('ne', one!, other!), no);
        loop.next(b.add(at!, 8));
      });
      b.return(1);
    });
  }

  #list(b: Builder): Value {
    return b.const(this.#context.address + BigInt(Header.free));
  }

  /** The address of what a link word names. */
  #named(b: Builder, word: Value): Value {
    return b.add(b.unary('zext32', word), this.#context.address);
  }

  #function(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction {
    return this.#context.shared(`${this.#spec.name}.${name}`, paramCount, body);
  }
}
