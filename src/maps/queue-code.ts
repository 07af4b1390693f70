/** The emitted side of queues and stacks: what threads of the target run. The steps and why they are safe are told in queue.ts. */
import type { Builder, Loop } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { emitGive, emitTake, linkTo } from './free-list.ts';
import { Errno, type MapEmitContext, type MapSpec, UpdateFlag } from './map-type.ts';
import { cellOffset, Header, NEVER, type QueueLayout, queueLayout, State, VALUE } from './queue-layout.ts';
import { copyBytes, zeroBytes } from './words.ts';

/** Which end a pop takes from. */
export type Order = 'first in, first out' | 'last in, first out';

/** What one validated look at the map saw. */
interface Seen {
  readonly current: Value;
  /** The address of the state. */
  readonly state: Value;
  readonly first: Value;
  readonly count: Value;
}

/** The out-of-line functions of one queue or stack. */
export class QueueCode {
  readonly #spec: MapSpec;
  readonly #layout: QueueLayout;
  readonly #context: MapEmitContext;
  readonly #order: Order;

  constructor(spec: MapSpec, context: MapEmitContext, order: Order) {
    this.#spec = spec;
    this.#layout = queueLayout(spec);
    this.#context = context;
    this.#order = order;
  }

  /** (value, flags) -> 0 or a negative errno */
  get push(): IrFunction {
    return this.#function('push', 2, (b, [value, flags]) => {
      const { maxEntries, valueSize } = this.#spec;
      const refused = b.compare('ne', b.and(flags!, ~BigInt(UpdateFlag.EXIST)), 0);
      b.when(refused, () => b.return(-Errno.EINVAL), 'cold');
      const element = b.call(this.#takeElement, [this.#header(b, Header.elements)]);
      b.when(b.compare('eq', element, 0), () => b.return(-Errno.E2BIG), 'cold');
      copyBytes(b, element, VALUE, value!, 0, valueSize);
      const fresh = this.#takeState(b, () => this.#give(b, Header.elements, element));

      const [result] = b.loop([], 1, (retry) => {
        const seen = this.#look(b, retry);
        const full = b.compare('eq', seen.count, maxEntries);
        const refuse = () => {
          this.#give(b, Header.states, fresh);
          this.#give(b, Header.elements, element);
          b.return(-Errno.E2BIG);
        };
        b.when(full, () => b.when(b.compare('eq', flags!, 0), refuse), 'cold');
        const cell = this.#cell(b, b.add(seen.first, seen.count));
        const before = b.load(8, cell);
        b.store(4, fresh, State.first, b.select(full, this.#wrap(b, b.add(seen.first, 1)), seen.first));
        b.store(4, fresh, State.count, b.select(full, seen.count, b.add(seen.count, 1)));
        b.store(8, fresh, State.cell, this.#offset(b, cell));
        b.store(8, fresh, State.before, before);
        b.store(8, fresh, State.after, linkTo(b, seen.current, this.#offset(b, element)));
        this.#become(b, seen, fresh, retry);
        b.when(full, () => this.#give(b, Header.elements, this.#named(b, before)), 'cold');
        retry.leave(b.const(0));
      });
      b.return(result!);
    });
  }

  /** (value) -> 0 or a negative errno */
  get pop(): IrFunction {
    return this.#function('pop', 1, (b, [value]) => {
      const { valueSize } = this.#spec;
      const fresh = this.#takeState(b, () => zeroBytes(b, value!, 0, valueSize));
      const [result] = b.loop([], 1, (retry) => {
        const seen = this.#look(b, retry);
        this.#whenEmpty(b, seen, () => {
          this.#give(b, Header.states, fresh);
          zeroBytes(b, value!, 0, valueSize);
        });
        const word = b.load(8, this.#nextOut(b, seen));
        const second = () => this.#wrap(b, b.add(seen.first, 1));
        b.store(4, fresh, State.first, this.#order === 'first in, first out' ? second() : seen.first);
        b.store(4, fresh, State.count, b.sub(seen.count, 1));
        b.store(8, fresh, State.cell, 0);
        b.store(8, fresh, State.before, NEVER);
        this.#become(b, seen, fresh, retry);
        const element = this.#named(b, word);
        copyBytes(b, value!, 0, element, VALUE, valueSize);
        this.#give(b, Header.elements, element);
        retry.leave(b.const(0));
      });
      b.return(result!);
    });
  }

  /** (value) -> 0 or -ENOENT */
  get peek(): IrFunction {
    return this.#function('peek', 1, (b, [value]) => {
      const { valueSize } = this.#spec;
      const [result] = b.loop([], 1, (retry) => {
        const seen = this.#look(b, retry);
        this.#whenEmpty(b, seen, () => zeroBytes(b, value!, 0, valueSize));
        const element = this.#named(b, b.load(8, this.#nextOut(b, seen)));
        copyBytes(b, value!, 0, element, VALUE, valueSize);
        this.#unlessCurrent(b, seen.current, retry);
        retry.leave(b.const(0));
      });
      b.return(result!);
    });
  }

  /** Reads the state that holds now, and finishes what it left to be done. */
  #look(b: Builder, retry: Loop): Seen {
    const current = b.load(8, this.#header(b, Header.current));
    const state = this.#named(b, current);
    const first = b.load(4, state, State.first);
    const count = b.load(4, state, State.count);
    const cell = b.add(b.load(8, state, State.cell), this.#context.address);
    const before = b.load(8, state, State.before);
    const after = b.load(8, state, State.after);
    this.#unlessCurrent(b, current, retry);
    b.when(b.compare('eq', b.load(8, cell), before), () => b.cmpxchg(8, cell, 0, before, after));
    return { current, state, first, count };
  }

  #unlessCurrent(b: Builder, current: Value, retry: Loop): void {
    b.when(b.compare('ne', b.load(8, this.#header(b, Header.current)), current), () => retry.next(), 'cold');
  }

  /** Makes `fresh` the state that holds, if that is still the one seen; whoever does owns that one, and gives it back. */
  #become(b: Builder, { current, state }: Seen, fresh: Value, retry: Loop): void {
    const word = linkTo(b, current, this.#offset(b, fresh));
    const old = b.cmpxchg(8, this.#header(b, Header.current), 0, current, word);
    b.when(b.compare('ne', old, current), () => retry.next(), 'cold');
    this.#give(b, Header.states, state);
  }

  #whenEmpty(b: Builder, { count }: Seen, before: () => void): void {
    const leave = () => {
      before();
      b.return(-Errno.ENOENT);
    };
    b.when(b.compare('eq', count, 0), leave, 'cold');
  }

  /** The address of the cell of the value that goes next. */
  #nextOut(b: Builder, { first, count }: Seen): Value {
    return this.#cell(b, this.#order === 'first in, first out' ? first : b.sub(b.add(first, count), 1));
  }

  #cell(b: Builder, index: Value): Value {
    return b.add(b.shl(this.#wrap(b, index), 3), this.#context.address + BigInt(cellOffset(0)));
  }

  /** A number below twice maxEntries, in the ring. */
  #wrap(b: Builder, index: Value): Value {
    const { maxEntries } = this.#spec;
    return b.select(b.compare('uge', index, maxEntries), b.sub(index, maxEntries), index);
  }

  #takeState(b: Builder, otherwise: () => void): Value {
    const take = emitTake(this.#context, `${this.#spec.name}.take-state`, State.size);
    const state = b.call(take, [this.#header(b, Header.states)]);
    const leave = () => {
      otherwise();
      b.return(-Errno.EBUSY);
    };
    b.when(b.compare('eq', state, 0), leave, 'cold');
    return state;
  }

  get #takeElement(): IrFunction {
    return emitTake(this.#context, `${this.#spec.name}.take-element`, this.#layout.elementSize);
  }

  #give(b: Builder, list: number, element: Value): void {
    b.call(emitGive(this.#context, `${this.#spec.name}.give`), [this.#header(b, list), element]);
  }

  #function(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction {
    return this.#context.shared(`${this.#spec.name}.${name}`, paramCount, body);
  }

  /** The address of what a link word names. */
  #named(b: Builder, word: Value): Value {
    return b.add(b.unary('zext32', word), this.#context.address);
  }

  #offset(b: Builder, address: Value): Value {
    return b.sub(address, this.#context.address);
  }

  #header(b: Builder, offset: number): Value {
    return b.const(this.#context.address + BigInt(offset));
  }
}
