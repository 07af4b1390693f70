/**
 * Values that hot code uses and that live across a call in a cold block move out of the call's way there, so that hot
 * code need not keep them where calls leave them alone.
 */
import { type Inst, type LirBlock, type LirFunction, mapRegisters, reg, targets, type VReg } from './lir.ts';
import { liveAtStart, visitRegisters } from './liveness.ts';

export function splitAroundColdCalls(fn: LirFunction): void {
  const blocks = fn.blocks.filter((block) => block.cold && block.insts.some(isCall));
  if (blocks.length === 0) return;
  const liveIn = liveAtStart(fn);
  const hot = new Set<VReg>();
  for (const { cold, insts } of fn.blocks) {
    if (!cold) for (const inst of insts) visitRegisters(inst, (register) => hot.add(register));
  }
  for (const block of blocks) {
    const liveOut = new Set(targets(block).flatMap((target) => [...liveIn.get(target)!]));
    const crossing = liveBehindFirstCall(block, liveOut);
    const moved = [...liveIn.get(block)!].filter((register) => hot.has(register) && crossing.has(register));
    if (moved.length > 0) split(fn, block, moved, liveOut);
  }
}

const CALLS: ReadonlySet<Inst['op']> = new Set(['call', 'callAddress', 'syscall'] as const);

function isCall({ op }: Inst): boolean {
  return CALLS.has(op);
}

function liveBehindFirstCall({ insts }: LirBlock, liveOut: ReadonlySet<VReg>): Set<VReg> {
  const live = new Set(liveOut);
  for (const inst of insts.slice(insts.findIndex(isCall) + 1).reverse()) {
    const reads: VReg[] = [];
    visitRegisters(inst, (register, role) => {
      if (role === 'r' || role === 'm') reads.push(register);
      if (role !== 'r') live.delete(register);
    });
    for (const register of reads) live.add(register);
  }
  return live;
}

/** Renames registers within the block. */
function split(fn: LirFunction, block: LirBlock, registers: readonly VReg[], liveOut: ReadonlySet<VReg>): void {
  const locals = new Map(registers.map((register) => [register, fn.newRegister()]));
  const move = (dst: VReg, src: VReg): Inst => ({
    op: 'split',
    size: 8,
    operands: [reg(dst), reg(src)],
    origin: undefined,
  });
  const renamed = block.insts.map((inst) => ({
    ...inst,
    operands: inst.operands.map((operand) => mapRegisters(operand, (register) => locals.get(register) ?? register)),
  }));
  const out = [...locals].map(([register, local]) => move(local, register));
  const back = [...locals]
    .filter(([register]) => liveOut.has(register))
    .map(([register, local]) => move(register, local));
  block.insts = [...out, ...renamed, ...back];
}
