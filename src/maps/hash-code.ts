/**
 * The emitted side of the hash map: what threads of the target run. The steps and why they are safe are told in hash.ts.
 * A key of up to 16 bytes and a value of up to 8 travel as numbers, so that a program's stack need not hold them.
 *
 * The order of loads is part of the algorithm: an element's `next` is read before its key, both before the word that led
 * to the element is read again.
 */
import type { Builder, Loop } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { emitGive, emitTake, linkTo } from './free-list.ts';
import { Element, GOLDEN, type HashLayout, Header, hashLayout, State, Use } from './hash-layout.ts';
import { Errno, type MapEmitContext, type MapSpec, UpdateFlag } from './map-type.ts';
import { copyBytes, foldWords, loadWord, zeroBytes } from './words.ts';

const NEXT_TAG = 1n << 32n;

/** Emits bpf_map_lookup_elem. */
export function emitHashLookup(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value {
  const map = new HashCode(spec, context);
  return b.call(map.lookup, map.keyArguments(b, key));
}

/** Emits bpf_map_update_elem. */
export function emitHashUpdate(
  b: Builder,
  spec: MapSpec,
  context: MapEmitContext,
  key: Value,
  value: Value,
  flags: Value,
): Value {
  const map = new HashCode(spec, context);
  return b.choose(
    b.compare('ugt', flags, UpdateFlag.EXIST),
    () => -Errno.EINVAL,
    () => b.call(map.update, [...map.keyArguments(b, key), map.valueArgument(b, value), flags]),
    'cold',
  );
}

/** Emits the insertion of a key with a value of zeros; -EEXIST if it is there. For values larger than 8 bytes. */
export function emitHashInsertZeros(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value {
  const map = new HashCode(spec, context);
  return b.call(map.insertZeros, map.keyArguments(b, key));
}

/** Emits that a value whose address a lookup gave was not looked at after all: who is evicted is decided by that. */
export function emitHashUnused(b: Builder, spec: MapSpec, value: Value): void {
  const { use } = hashLayout(spec);
  if (use !== undefined) b.store(4, value, use - Element.value, Use.LINKED);
}

/** Emits bpf_for_each_map_elem: what is put in meanwhile may or may not be visited, as in the kernel. */
export function emitHashEach(
  b: Builder,
  spec: MapSpec,
  context: MapEmitContext,
  visit: (key: Value, value: Value) => Value,
): Value {
  const map = new HashCode(spec, context);
  const cursor = b.stack(Cursor.size);
  b.store(8, cursor, Cursor.bucket, 0);
  b.store(8, cursor, Cursor.element, 0);
  const [count] = b.loop([b.const(0)], 1, (loop, [before]) => {
    const element = b.call(map.advance, [cursor]);
    b.when(b.compare('eq', element, 0), () => loop.leave(before!));
    const stops = visit(b.add(element, hashLayout(spec).key), b.add(element, Element.value));
    const now = b.add(before!, 1);
    // So many there are at a time: who sees more goes round with somebody who puts in what was taken out.
    b.when(b.or(stops, b.compare('eq', now, spec.maxEntries)), () => loop.leave(now));
    loop.next(now);
  });
  return count!;
}

/** Emits bpf_map_delete_elem. */
export function emitHashDelete(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value {
  const map = new HashCode(spec, context);
  return b.call(map.delete, map.keyArguments(b, key));
}

/** A live element, the word that led to it and where that word lies, its own link word. Addresses. */
interface Place {
  readonly from: Value;
  readonly word: Value;
  readonly element: Value;
  readonly next: Value;
}

/** How far a walk over all elements has come: in which bucket, behind which element, and what its link word was. Bytes. */
const Cursor = { bucket: 0, element: 8, next: 16, size: 24 } as const;

/** The out-of-line functions of one map. */
class HashCode {
  readonly #spec: MapSpec;
  readonly #layout: HashLayout;
  readonly #context: MapEmitContext;
  /** Words of a key that is passed as numbers; 0 if its address is passed. */
  readonly #keyWords: number;
  readonly #smallValue: boolean;

  constructor(spec: MapSpec, context: MapEmitContext) {
    this.#spec = spec;
    this.#layout = hashLayout(spec);
    this.#context = context;
    this.#keyWords = spec.keySize <= 16 ? Math.ceil(spec.keySize / 8) : 0;
    this.#smallValue = spec.valueSize <= 8;
  }

  /** What stands for a key in a call, given its address. */
  keyArguments(b: Builder, key: Value): Value[] {
    if (this.#keyWords === 0) return [key];
    const { keySize } = this.#spec;
    return Array.from({ length: this.#keyWords }, (_, index) =>
      loadWord(b, key, 8 * index, Math.min(8, keySize - 8 * index)),
    );
  }

  valueArgument(b: Builder, value: Value): Value {
    return this.#smallValue ? loadWord(b, value, 0, this.#spec.valueSize) : value;
  }

  /** (key) -> the value's address or 0 */
  get lookup(): IrFunction {
    return this.#function('lookup', this.#keyParams, (b, key) => {
      const bucket = this.#bucket(b, key);
      const [result] = b.loop([], 1, (restart) => {
        this.#walk(b, bucket, restart, this.#has(b, key), ({ element }) => {
          this.#lookedAt(b, element);
          restart.leave(b.add(element, Element.value));
        });
        restart.leave(b.const(0));
      });
      b.return(result!);
    });
  }

  /** (key, value, flags) -> 0 or a negative errno */
  get update(): IrFunction {
    return this.#function('update', this.#keyParams + 2, (b, params) => {
      const key = params.slice(0, this.#keyParams);
      const [value, flags] = params.slice(this.#keyParams) as [Value, Value];
      const bucket = this.#bucket(b, key);
      const [result] = b.loop([], 1, (restart) => {
        const head = this.#walk(b, bucket, restart, this.#has(b, key), (place) => {
          b.when(b.compare('eq', flags, UpdateFlag.NOEXIST), () => restart.leave(b.const(-Errno.EEXIST)), 'cold');
          if (this.#smallValue) this.#overwrite(b, place, restart, value);
          else this.#replace(b, bucket, place, restart, key, value);
        });
        b.when(b.compare('eq', flags, UpdateFlag.EXIST), () => restart.leave(b.const(-Errno.ENOENT)), 'cold');
        this.#insert(b, bucket, head, restart, key, value);
      });
      b.return(result!);
    });
  }

  /** (key) -> 0, -EEXIST or another negative errno */
  get insertZeros(): IrFunction {
    return this.#function('insert-zeros', this.#keyParams, (b, key) => {
      const bucket = this.#bucket(b, key);
      const [result] = b.loop([], 1, (restart) => {
        const head = this.#walk(b, bucket, restart, this.#has(b, key), () => restart.leave(b.const(-Errno.EEXIST)));
        this.#insert(b, bucket, head, restart, key, undefined);
      });
      b.return(result!);
    });
  }

  /** (key) -> 0 or -ENOENT */
  get delete(): IrFunction {
    return this.#function('delete', this.#keyParams, (b, key) => {
      const bucket = this.#bucket(b, key);
      const [result] = b.loop([], 1, (restart) => {
        this.#walk(b, bucket, restart, this.#has(b, key), (place) => {
          this.#remove(b, bucket, place, restart);
          restart.leave(b.const(0));
        });
        restart.leave(b.const(-Errno.ENOENT));
      });
      b.return(result!);
    });
  }

  /**
   * (cursor) -> the address of the live element that comes next, 0 behind the last. Where the element behind which to go on has
   * changed since, its chain is looked through for it, or for the one that followed it: whichever is there. If neither is, what
   * was behind them is passed over.
   */
  get advance(): IrFunction {
    return this.#function('advance', 1, (b, [cursor]) => {
      const { bucketCount } = this.#layout;
      const goTo = (element: Value, next: Value) => {
        b.store(8, cursor!, Cursor.element, element);
        b.store(8, cursor!, Cursor.next, next);
      };
      const [result] = b.loop([], 1, (restart) => {
        const bucket = b.load(8, cursor!, Cursor.bucket);
        b.when(b.compare('eq', bucket, bucketCount), () => restart.leave(b.const(0)));
        const behind = b.load(8, cursor!, Cursor.element);
        const next = b.load(8, cursor!, Cursor.next);
        const first = b.add(b.shl(bucket, 3), this.#context.address + BigInt(Header.size));
        const found = ({ element, next }: Place) => {
          goTo(element, next);
          restart.leave(element);
        };
        const isFresh = b.compare('eq', behind, 0);
        const from = b.select(isFresh, first, behind);
        const word = b.load(8, from);
        const isSame = b.or(isFresh, b.compare('eq', word, next));
        b.when(b.compare('eq', isSame, 0), () => {
          const following = b.unary('zext32', next);
          const isEither = (element: Value) =>
            b.or(b.compare('eq', element, behind), b.compare('eq', this.#offset(b, element), following));
          this.#walk(b, first, restart, isEither, (place) => {
            b.when(b.compare('eq', place.element, behind), () => {
              goTo(place.element, place.next);
              restart.next();
            });
            found(place);
          });
        });
        b.when(isSame, () => this.#walk(b, from, restart, () => b.const(1), found, word));
        goTo(b.const(0), b.const(0));
        b.store(8, cursor!, Cursor.bucket, b.add(bucket, 1));
        restart.next();
      });
      b.return(result!);
    });
  }

  /** Takes a live element out of its chain, if it is still as it was found. */
  #remove(b: Builder, bucket: Value, place: Place, restart: Loop): void {
    const dead = b.add(place.next, NEXT_TAG | BigInt(State.DELETED));
    const old = b.cmpxchg(8, place.element, Element.next, place.next, dead);
    b.when(b.compare('ne', old, place.next), () => restart.next(), 'cold');
    this.#finish(b, bucket, place, dead);
  }

  /**
   * () -> 1 if an element came free, 0 if none could be found. A hand goes round over all elements; who was looked at since it
   * came by last is spared.
   */
  get #evict(): IrFunction {
    const { firstElement, end, elementSize } = this.#layout;
    const count = (end - firstElement) / elementSize;
    const use = this.#layout.use!;
    return this.#function('evict', 0, (b) => {
      const [result] = b.loop([b.const(3 * count)], 1, (round, [left]) => {
        b.when(b.compare('eq', left!, 0), () => round.leave(b.const(0)), 'cold');
        const goOn = () => round.next(b.sub(left!, 1));
        const turn = b.atomic('add', 8, this.#header(b, Header.hand), 0, 1);
        const offset = b.add(b.mul(b.binary('umod', turn, count), elementSize), firstElement);
        const element = b.add(offset, this.#context.address);
        const state = b.load(4, element, use);
        b.when(b.compare('eq', state, Use.FREE), goOn);
        const spare = () => {
          b.store(4, element, use, Use.LINKED);
          goOn();
        };
        b.when(b.compare('eq', state, Use.LOOKED_AT), spare);
        b.when(b.call(this.#evictElement, [element]), () => round.leave(b.const(1)));
        goOn();
      });
      b.return(result!);
    });
  }

  /** (element) -> 1 if it was in a chain and is free now. Where its key leads it is looked for itself, so any key is safe. */
  get #evictElement(): IrFunction {
    return this.#function('evict-element', 1, (b, [element]) => {
      const at = b.add(element!, this.#layout.key);
      const bucket = this.#bucket(b, this.#keyWords === 0 ? [at] : this.keyArguments(b, at));
      const isIt = (other: Value) => b.compare('eq', other, element!);
      const [result] = b.loop([], 1, (restart) => {
        this.#walk(b, bucket, restart, isIt, (place) => {
          this.#remove(b, bucket, place, restart);
          restart.leave(b.const(1));
        });
        restart.leave(b.const(0));
      });
      b.return(result!);
    });
  }

  #lookedAt(b: Builder, element: Value): void {
    const { use } = this.#layout;
    if (use === undefined) return;
    b.when(b.compare('ne', b.load(4, element, use), Use.LOOKED_AT), () => b.store(4, element, use, Use.LOOKED_AT));
  }

  /**
   * Walks a chain from its bucket's word on, or that of a live element, which is returned; goes on behind the chain's end. `found`
   * gets the live element that matches and must leave the walk. Begins anew by `restart` when another thread changed what was read.
   */
  #walk(
    b: Builder,
    bucket: Value,
    restart: Loop,
    matches: ((element: Value) => Value) | undefined,
    found: (place: Place) => void,
    head = b.load(8, bucket),
  ): Value {
    b.loop([bucket, head], 0, (step, [from, word]) => {
      b.when(b.compare('eq', word!, 0, 32), () => step.leave());
      const element = this.#element(b, word!);
      const next = b.load(8, element, Element.next);
      b.when(
        b.compare('test', next, State.mask),
        () => {
          b.call(this.#unlink, [from!, word!, next]);
          restart.next();
        },
        'cold',
      );
      const stillLinked = () => b.when(b.compare('ne', b.load(8, from!), word!), () => restart.next(), 'cold');
      if (matches !== undefined) {
        b.when(matches(element), () => {
          stillLinked();
          found({ from: from!, word: word!, element, next });
        });
      }
      stillLinked();
      step.next(element, next);
    });
    return head;
  }

  /** Writes a value of up to 8 bytes where it lies, if its element is still the one that was found. */
  #overwrite(b: Builder, { element, next }: Place, restart: Loop, value: Value): void {
    const old = b.load(8, element, Element.value);
    b.when(b.cmpxchg16(element, Element.next, [next, old], [next, value]), () => {
      this.#lookedAt(b, element);
      restart.leave(b.const(0));
    });
    restart.next();
  }

  /** Puts a spare element in the place of the one that was found. */
  #replace(b: Builder, bucket: Value, place: Place, restart: Loop, key: readonly Value[], value: Value): void {
    const spares = this.#header(b, Header.spare);
    const fresh = b.call(this.#take, [spares]);
    b.when(b.compare('eq', fresh, 0), () => restart.leave(b.const(-Errno.ENOMEM)), 'cold');
    this.#fill(b, fresh, key, value, place.next, Use.LOOKED_AT);
    const replaced = linkTo(b, place.next, b.or(this.#offset(b, fresh), State.REPLACED));
    const old = b.cmpxchg(8, place.element, Element.next, place.next, replaced);
    b.when(b.compare('eq', old, place.next), () => {
      this.#finish(b, bucket, place, replaced);
      restart.leave(b.const(0));
    });
    b.call(this.#give, [spares, fresh]);
    restart.next();
  }

  /** Puts a new element at the head of the chain, if that is still as it was before the chain was walked. */
  #insert(
    b: Builder,
    bucket: Value,
    head: Value,
    restart: Loop,
    key: readonly Value[],
    value: Value | undefined,
  ): void {
    const free = this.#header(b, Header.free);
    const fresh = b.call(this.#take, [free]);
    b.when(
      b.compare('eq', fresh, 0),
      () => {
        b.when(b.compare('ne', b.load(8, bucket), head), () => restart.next());
        if (this.#layout.use !== undefined) b.when(b.call(this.#evict, []), () => restart.next());
        restart.leave(b.const(this.#layout.use === undefined ? -Errno.E2BIG : -Errno.ENOMEM));
      },
      'cold',
    );
    this.#fill(b, fresh, key, value, head, Use.LINKED);
    const old = b.cmpxchg(8, bucket, 0, head, linkTo(b, head, this.#offset(b, fresh)));
    b.when(b.compare('eq', old, head), () => restart.leave(b.const(0)));
    b.call(this.#give, [free, fresh]);
    restart.next();
  }

  /** Writes an element nobody else can reach, live and followed by what `following` names; without a value it gets zeros. */
  #fill(
    b: Builder,
    element: Value,
    key: readonly Value[],
    value: Value | undefined,
    following: Value,
    state: number,
  ): void {
    const { keySize, valueSize } = this.#spec;
    const { key: keyOffset } = this.#layout;
    if (this.#keyWords === 0) copyBytes(b, element, keyOffset, key[0]!, 0, keySize);
    else for (const [index, word] of key.entries()) b.store(8, element, keyOffset + 8 * index, word);
    if (value === undefined) zeroBytes(b, element, Element.value, valueSize);
    else if (this.#smallValue) b.store(8, element, Element.value, value);
    else copyBytes(b, element, Element.value, value, 0, valueSize);
    if (this.#layout.use !== undefined) b.store(4, element, this.#layout.use, state);
    b.store(8, element, Element.next, linkTo(b, b.load(8, element, Element.next), b.unary('zext32', following)));
  }

  /** Takes an element whose state is now `dead` out of its chain, or sees to it that it is out. */
  #finish(b: Builder, bucket: Value, { from, word }: Place, dead: Value): void {
    const done = b.call(this.#unlink, [from, word, dead]);
    b.when(b.compare('eq', done, 0), () => b.call(this.#sweep, [bucket]), 'cold');
  }

  /** (bucket): walks the whole chain once undisturbed, so that no element is left in it that was dead before. */
  get #sweep(): IrFunction {
    return this.#function('sweep', 1, (b, [bucket]) => {
      b.loop([], 0, (restart) => {
        this.#walk(b, bucket!, restart, undefined, () => undefined);
        restart.leave();
      });
      b.return(0);
    });
  }

  /** (from, word, dead) -> 1 if the dead element that `word` names is out of the chain and back in its list, else 0 */
  get #unlink(): IrFunction {
    return this.#function('unlink', 3, (b, [from, word, dead]) => {
      const following = b.binary('and', dead!, 0xffff_fff0n, 32);
      const old = b.cmpxchg(8, from!, 0, word!, linkTo(b, word!, following));
      b.when(b.compare('ne', old, word!), () => b.return(0), 'cold');
      const list = b.select(
        b.compare('test', dead!, State.REPLACED),
        this.#header(b, Header.spare),
        this.#header(b, Header.free),
      );
      const element = this.#element(b, word!);
      if (this.#layout.use !== undefined) b.store(4, element, this.#layout.use, Use.FREE);
      b.call(this.#give, [list, element]);
      b.return(1);
    });
  }

  /** (list) -> the address of an element taken off it, 0 if it is empty */
  get #take(): IrFunction {
    return emitTake(this.#context, `${this.#spec.name}.take`, this.#layout.elementSize);
  }

  /** (list, element): puts an element nobody else can reach on it */
  get #give(): IrFunction {
    return emitGive(this.#context, `${this.#spec.name}.give`);
  }

  get #keyParams(): number {
    return Math.max(1, this.#keyWords);
  }

  #function(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction {
    return this.#context.shared(`${this.#spec.name}.${name}`, paramCount, body);
  }

  /** The address of the bucket of a key. The same arithmetic as `bucketOf`. */
  #bucket(b: Builder, key: readonly Value[]): Value {
    const seed = b.load(8, this.#header(b, Header.seed));
    const mix = (hash: Value, word: Value) => {
      const spread = b.mul(b.xor(hash, word), GOLDEN);
      return b.mul(b.xor(spread, b.shr(spread, 32)), seed);
    };
    const hash =
      this.#keyWords > 0
        ? key.reduce(mix, b.const(0))
        : foldWords(b, this.#spec.keySize, b.const(0), (carry, { at, offset, size }) =>
            mix(carry, loadWord(b, at(key[0]!), offset, size)),
          );
    const index = b.shr(hash, this.#layout.bucketShift);
    return b.add(b.shl(index, 3), this.#context.address + BigInt(Header.size));
  }

  #has(b: Builder, key: readonly Value[]): (element: Value) => Value {
    return (element) => this.#hasKey(b, element, key);
  }

  /** Not 0 if the element has this key. */
  #hasKey(b: Builder, element: Value, key: readonly Value[]): Value {
    const { key: keyOffset } = this.#layout;
    if (this.#keyWords === 1) return b.compare('eq', b.load(8, element, keyOffset), key[0]!);
    const difference =
      this.#keyWords > 0
        ? key.map((word, index) => b.xor(word, b.load(8, element, keyOffset + 8 * index))).reduce((a, c) => b.or(a, c))
        : foldWords(b, this.#spec.keySize, b.const(0), (carry, { at, offset, size }) => {
            const mine = loadWord(b, at(key[0]!), offset, size);
            return b.or(carry, b.xor(mine, b.load(8, at(element), keyOffset + offset)));
          });
    return b.compare('eq', difference, 0);
  }

  /** The address of the element that a link word names. */
  #element(b: Builder, word: Value): Value {
    return b.add(b.unary('zext32', word), this.#context.address);
  }

  #offset(b: Builder, element: Value): Value {
    return b.sub(element, this.#context.address);
  }

  #header(b: Builder, offset: number): Value {
    return b.const(this.#context.address + BigInt(offset));
  }
}
