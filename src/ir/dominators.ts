/**
 * Order and dominance of a function's blocks.
 * Source: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
 */
import { type Block, type IrFunction, successors } from './value.ts';

/** Reachable blocks, each before its successors except along back edges; the entry is first. */
export function reversePostorder(fn: IrFunction): Block[] {
  const order: Block[] = [];
  const seen = new Set<Block>();
  const path: { block: Block; next: readonly Block[]; at: number }[] = [];
  const enter = (block: Block) => {
    seen.add(block);
    path.push({ block, next: successors(block), at: 0 });
  };
  enter(fn.blocks[0]!);
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    // Last successor first, so that the reversed order visits the first one first.
    const successor = top.next[top.next.length - 1 - top.at++];
    if (successor === undefined) order.push(path.pop()!.block);
    else if (!seen.has(successor)) enter(successor);
  }
  return order.reverse();
}

/** The dominator tree of the reachable blocks. */
export class Dominators {
  /** Blocks of the tree, parents before children and each subtree in one piece; siblings in reverse postorder. */
  readonly preorder: readonly Block[];
  readonly #parent = new Map<Block, Block>();
  /** Place in preorder, and the place behind the last block of the subtree. */
  readonly #first = new Map<Block, number>();
  readonly #end = new Map<Block, number>();

  constructor(fn: IrFunction) {
    const order = reversePostorder(fn);
    this.#findParents(order);
    this.preorder = this.#number(order);
  }

  /** True if every path from the entry to `b` passes `a`; a block dominates itself. Both are reachable. */
  dominates(a: Block, b: Block): boolean {
    const place = this.#first.get(b)!;
    return this.#first.get(a)! <= place && place < this.#end.get(a)!;
  }

  #findParents(order: readonly Block[]): void {
    const place = new Map(order.map((block, index) => [block, index]));
    const parent: number[] = [0];
    const meet = (a: number, b: number): number => {
      while (a !== b) {
        if (a > b) a = parent[a]!;
        else b = parent[b]!;
      }
      return a;
    };
    for (let changed = true; changed; ) {
      changed = false;
      for (let index = 1; index < order.length; index++) {
        let found: number | undefined;
        for (const predecessor of order[index]!.predecessors) {
          const at = place.get(predecessor);
          if (at === undefined || (at !== 0 && parent[at] === undefined)) continue;
          found = found === undefined ? at : meet(found, at);
        }
        if (parent[index] === found) continue;
        parent[index] = found!;
        changed = true;
      }
    }
    for (let index = 1; index < order.length; index++) this.#parent.set(order[index]!, order[parent[index]!]!);
  }

  #number(order: readonly Block[]): Block[] {
    const children = new Map<Block, Block[]>(order.map((block) => [block, []]));
    for (const block of order.slice(1)) children.get(this.#parent.get(block)!)!.push(block);
    const preorder: Block[] = [];
    const open: Block[] = [order[0]!];
    for (let block = open.pop(); block !== undefined; block = open.pop()) {
      this.#first.set(block, preorder.length);
      preorder.push(block);
      open.push(...children.get(block)!.reverse());
    }
    for (const block of [...preorder].reverse()) {
      const last = children.get(block)!.reduce((end, child) => Math.max(end, this.#end.get(child)!), 0);
      this.#end.set(block, Math.max(last, this.#first.get(block)! + 1));
    }
    return preorder;
  }
}
