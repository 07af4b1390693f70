/**
 * Turns variables into SSA values: whoever walks the blocks in reverse postorder keeps the variables' values in an
 * array, and gets phis where paths with different values meet. It serves bytecode registers, stack slots promoted to
 * values, and the repair of SSA form after edges were moved.
 */
import type { Block, IrFunction, Value } from './value.ts';

/** The value of each variable at one point; undefined where some path does not define it. */
export type Variables = (Value | undefined)[];

export class Renaming {
  readonly #fn: IrFunction;
  readonly #ends = new Map<Block, Variables>();
  /** Phis made before all predecessors were known. */
  readonly #open: { readonly block: Block; readonly phi: Value; readonly variable: number }[] = [];

  constructor(fn: IrFunction) {
    this.#fn = fn;
  }

  /**
   * The variables where `block` begins. Every predecessor was left before; if it is a loop's head, those that jump back
   * come later. `wanted` tells which variables may still be read: the others become undefined.
   */
  enter(block: Block, kind: 'join' | 'loop', count: number, wanted: (variable: number) => boolean): Variables {
    const ends = block.predecessors.flatMap((predecessor) => {
      const end = this.#ends.get(predecessor);
      return end === undefined ? [] : [end];
    });
    return Array.from({ length: count }, (_, variable) => {
      if (!wanted(variable)) return undefined;
      const incoming = ends.map((end) => end[variable]);
      const [first] = incoming;
      if (first === undefined || incoming.includes(undefined)) return undefined;
      if (kind === 'loop') return this.#openPhi(block, variable);
      return incoming.every((value) => value === first) ? first : this.#phi(block, incoming as Value[]);
    });
  }

  /** Tells the variables where `block` ends. */
  leave(block: Block, variables: Variables): void {
    this.#ends.set(block, variables);
  }

  /** The variables where `block` ends, as told. */
  end(block: Block): Variables | undefined {
    return this.#ends.get(block);
  }

  /** Completes the phis of loops; every block was left. */
  finish(): void {
    for (const { block, phi, variable } of this.#open) {
      for (const predecessor of block.predecessors) {
        // A loop that leaves the variable undefined cannot read it in its next turn either: any number will do.
        phi.args.push(this.#ends.get(predecessor)?.[variable] ?? this.#anyNumber());
      }
    }
  }

  #openPhi(block: Block, variable: number): Value {
    const phi = this.#phi(block, []);
    this.#open.push({ block, phi, variable });
    return phi;
  }

  #phi(block: Block, args: readonly Value[]): Value {
    const phi = this.#fn.value({ op: 'phi' }, args);
    block.values.unshift(phi);
    return phi;
  }

  #anyNumber(): Value {
    const zero = this.#fn.value({ op: 'const', value: 0n });
    this.#fn.blocks[0]!.values.unshift(zero);
    return zero;
  }
}
