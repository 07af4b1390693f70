/**
 * Cold blocks save the registers that only they change, when control comes to them from hot code, and restore them on
 * the way back: so hot code pays nothing for them.
 *
 *     hot:          ... jcc in          cold:   in:   push r...
 *     back: ...                                 block ...
 *                                               out:  pop ...r
 *                                                     jmp back
 */
import { type Inst, LirBlock, type LirFunction, reg, targets } from './lir.ts';
import { changedIn } from './liveness.ts';
import type { Reg } from './registers.ts';

/**
 * Inserts the saves; afterwards `rsp` is lower in cold blocks.
 *
 * @param free registers that need not be saved
 * @returns the registers saved
 */
export function saveInColdBlocks(fn: LirFunction, free: ReadonlySet<Reg>): readonly Reg[] {
  const hot = changedIn(fn.blocks.filter(({ cold }) => !cold));
  const saved = [...changedIn(fn.blocks.filter(({ cold }) => cold))].filter((r) => !hot.has(r) && !free.has(r));
  if (saved.length === 0) return saved;
  const inst = (op: 'push' | 'pop', register: Reg): Inst => ({
    op,
    size: 8,
    operands: [reg(register)],
    origin: undefined,
  });
  const pushes = saved.map((register) => inst('push', register));
  const pops = saved.toReversed().map((register) => inst('pop', register));

  const between = new Map<LirBlock, LirBlock>();
  const passage = (from: LirBlock, target: LirBlock): LirBlock => {
    if (from.cold === target.cold) return target;
    let block = between.get(target);
    if (block === undefined) {
      block = new LirBlock(true);
      block.insts = target.cold ? pushes : pops;
      block.end = { op: 'jump', target };
      between.set(target, block);
    }
    return block;
  };
  for (const block of fn.blocks) {
    const { end } = block;
    if (end.op === 'return' && block.cold) block.insts.push(...pops);
    if (end.op === 'jump' && block.cold && !end.target.cold) block.insts.push(...pops);
    else if (end.op === 'jump') block.end = { op: 'jump', target: passage(block, end.target) };
    if (end.op === 'branch') {
      block.end = { ...end, ifSo: passage(block, end.ifSo), ifNot: passage(block, end.ifNot) };
    }
  }
  // What leads in lies right before where it leads to, what leads out behind all.
  fn.blocks = fn.blocks.flatMap((block) => {
    const way = between.get(block);
    return way !== undefined && block.cold ? [way, block] : [block];
  });
  for (const way of between.values()) if (!targets(way)[0]!.cold) fn.blocks.push(way);
  return saved;
}
