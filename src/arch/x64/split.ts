/**
 * Values that hot code uses and that live across a call in a cold block move out of the call's way there, so that hot
 * code need not keep them where calls leave them alone.
 */
import { type Inst, type LirBlock, type LirFunction, reg, substitute, targets, type VReg } from './lir.ts';
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
    const crossing = liveAcrossCalls(block, liveOut);
    for (const register of liveIn.get(block)!) {
      if (hot.has(register) && crossing.has(register)) split(fn, block, register, liveOut.has(register));
    }
  }
}

function isCall({ writes }: Inst): boolean {
  return writes !== undefined && writes.length > 0;
}

function liveAcrossCalls({ insts }: LirBlock, liveOut: ReadonlySet<VReg>): Set<VReg> {
  const live = new Set(liveOut);
  const crossing = new Set<VReg>();
  for (const inst of insts.toReversed()) {
    const reads: VReg[] = [];
    visitRegisters(inst, (register, role) => {
      if (role === 'r' || role === 'm') reads.push(register);
      if (role !== 'r') live.delete(register);
    });
    if (isCall(inst)) for (const register of live) crossing.add(register);
    for (const register of reads) live.add(register);
  }
  return crossing;
}

function split(fn: LirFunction, block: LirBlock, register: VReg, isLiveOut: boolean): void {
  const local = fn.newRegister();
  const move = (dst: VReg, src: VReg): Inst => ({
    op: 'split',
    size: 8,
    operands: [reg(dst), reg(src)],
    origin: undefined,
  });
  const renamed = block.insts.map((inst) => ({
    ...inst,
    operands: inst.operands.map((operand) => substitute(operand, register, local)),
  }));
  block.insts = [move(local, register), ...renamed, ...(isLiveOut ? [move(register, local)] : [])];
}
