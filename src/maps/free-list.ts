/**
 * Lists of elements that nobody uses, from which threads take and to which they give back without a lock. A list's head and the
 * first word of each element in it are link words (drawn in hash-layout.ts): every change gives them another tag, so
 * who saw an old one fails. END ends a list, and 0 stands for the element right behind, so that zeroed memory is a list.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { END, link, offsetOf } from './hash-layout.ts';
import type { MapEmitContext, MapMemory } from './map-type.ts';

/** Tries of the host before it gives up; more than honest threads cause. */
const PATIENCE = 1_000_000;

/** Emits (list) -> the address of an element of `size` bytes taken off it, 0 if it is empty. */
export function emitTake(context: MapEmitContext, name: string, size: number): IrFunction {
  const { address } = context;
  return context.shared(name, 1, (b, [list]) => {
    const [taken] = b.loop([], 1, (retry) => {
      const head = b.load(8, list!);
      b.when(b.compare('eq', head, END, 32), () => retry.leave(b.const(0)), 'cold');
      const element = b.add(b.unary('zext32', head), address);
      const named = b.load(4, element);
      const behind = b.add(b.unary('zext32', head), size);
      const following = b.select(b.compare('eq', named, 0), behind, named);
      const old = b.cmpxchg(8, list!, 0, head, linkTo(b, head, following));
      b.when(b.compare('eq', old, head), () => retry.leave(element));
      retry.next();
    });
    b.return(taken!);
  });
}

/** Emits (list, element): puts an element nobody else can reach on it. */
export function emitGive(context: MapEmitContext, name: string): IrFunction {
  const { address } = context;
  return context.shared(name, 2, (b, [list, element]) => {
    const last = b.load(8, element!);
    b.loop([], 0, (retry) => {
      const head = b.load(8, list!);
      b.store(8, element!, 0, linkTo(b, last, b.unary('zext32', head)));
      const old = b.cmpxchg(8, list!, 0, head, linkTo(b, head, b.sub(element!, address)));
      b.when(b.compare('eq', old, head), () => retry.leave());
      retry.next();
    });
    b.return(0);
  });
}

/** The word that follows `word` in the same place: next tag, other low half. */
export function linkTo(b: Builder, word: Value, low: Value): Value {
  return b.or(b.shl(b.add(b.shr(word, 32), 1), 32), low);
}

/** Takes an element of `size` bytes off the list at `list`, for the host. @param isElement what the target wrote need not be one */
export function takeFrom(
  { words }: MapMemory,
  list: number,
  size: number,
  isElement: (offset: number) => boolean,
): number | undefined {
  for (let attempt = 0; attempt < PATIENCE; attempt++) {
    const head = Atomics.load(words, list / 8);
    const element = offsetOf(head);
    if (!isElement(element)) return undefined;
    const following = offsetOf(Atomics.load(words, element / 8)) || element + size;
    if (Atomics.compareExchange(words, list / 8, head, link(head, following)) === head) return element;
  }
  return undefined;
}

/** Puts an element nobody else can reach on the list at `list`, for the host. */
export function giveTo({ words }: MapMemory, list: number, element: number): void {
  const last = Atomics.load(words, element / 8);
  for (let attempt = 0; attempt < PATIENCE; attempt++) {
    const head = Atomics.load(words, list / 8);
    Atomics.store(words, element / 8, link(last, offsetOf(head)));
    if (Atomics.compareExchange(words, list / 8, head, link(head, element)) === head) return;
  }
}
