/**
 * The last steps before bytes: hardware registers in place of virtual ones, copies as moves, and the small things that
 * can only be seen then. Afterwards no `copy` is left and every register is below 16.
 */
import type { Assignment } from './allocate.ts';
import { rolesOf, rowOf } from './instructions.ts';
import { FIRST_VIRTUAL, type Inst, type LirBlock, type LirFunction, mapRegisters, targets, type VReg } from './lir.ts';
import { sequence } from './parallel-move.ts';

export function finish(fn: LirFunction, assignment: Assignment): void {
  const hardware = (register: VReg) => (register < FIRST_VIRTUAL ? register : assignment[register]!);
  for (const block of fn.blocks) {
    block.insts = block.insts.flatMap((inst) => {
      const placed = inst.operands.map((operand) => mapRegisters(operand, hardware));
      const isCopy = inst.op === 'copy' || inst.op === 'split';
      return isCopy ? sequence(placed, inst.origin) : [{ ...inst, operands: placed }];
    });
    dropTests(block);
    shortenZeros(block);
  }
  skipEmptyBlocks(fn);
  testAtLoopEnds(fn);
}

/** `test r, r` before "is zero" is needless if the instruction that made r has just set the zero flag. */
function dropTests(block: LirBlock): void {
  const { insts } = block;
  block.insts = insts.filter((inst, n) => {
    const [a, b] = inst.operands;
    if (inst.op !== 'test' || a?.kind !== 'reg' || b?.kind !== 'reg' || a.reg !== b.reg) return true;
    if (!asksOnlyForZero(block, n)) return true;
    let before = n - 1;
    while (before >= 0 && rowOf(insts[before]!).flags === 'keeps' && !writes(insts[before]!, a.reg)) before--;
    const maker = insts[before];
    if (maker === undefined || rowOf(maker).flags !== 'result' || maker.size !== inst.size) return true;
    const [dst] = maker.operands;
    return dst?.kind !== 'reg' || dst.reg !== a.reg;
  });
}

/** True if all that reads the flags set by instruction `n` is "equal" and "not equal". */
function asksOnlyForZero({ insts, end }: LirBlock, n: number): boolean {
  for (const inst of insts.slice(n + 1)) {
    const { flags } = rowOf(inst);
    if (flags === 'sets' || flags === 'result') return true;
    if (flags === 'reads' && inst.condition !== 'e' && inst.condition !== 'ne') return false;
  }
  return end.op !== 'branch' || end.condition === 'e' || end.condition === 'ne';
}

function writes(inst: Inst, register: VReg): boolean {
  const roles = rolesOf(inst);
  const inOperands = inst.operands.some((o, n) => o.kind === 'reg' && o.reg === register && roles[n] !== 'r');
  return inOperands || (inst.writes?.some((written) => written === register) ?? false);
}

/** `xor r, r` instead of `mov r, 0`, where nobody waits for the flags. */
function shortenZeros(block: LirBlock): void {
  let flagsNeeded = block.end.op === 'branch';
  for (let n = block.insts.length - 1; n >= 0; n--) {
    const inst = block.insts[n]!;
    const [dst, value] = inst.operands;
    if (inst.op === 'const' && value?.kind === 'imm' && value.value === 0n && !flagsNeeded) {
      block.insts[n] = { ...inst, op: 'zero', operands: [dst!] };
    }
    const { flags } = rowOf(inst);
    if (flags === 'reads') flagsNeeded = true;
    else if (flags !== 'keeps') flagsNeeded = false;
  }
}

/** Blocks with nothing but a jump are passed by. */
function skipEmptyBlocks(fn: LirFunction): void {
  const destination = (block: LirBlock): LirBlock => {
    const seen = new Set<LirBlock>();
    let target = block;
    while (target.insts.length === 0 && target.end.op === 'jump' && !seen.has(target)) {
      seen.add(target);
      target = target.end.target;
    }
    return target;
  };
  for (const block of fn.blocks) {
    const { end } = block;
    if (end.op === 'jump') block.end = { op: 'jump', target: destination(end.target) };
    if (end.op !== 'branch') continue;
    const [ifSo, ifNot] = [destination(end.ifSo), destination(end.ifNot)];
    block.end = ifSo === ifNot ? { op: 'jump', target: ifSo } : { ...end, ifSo, ifNot };
  }
  const reached = new Set([fn.blocks[0]!]);
  for (const block of reached) for (const target of targets(block)) reached.add(target);
  fn.blocks = fn.blocks.filter((block) => reached.has(block));
}

/** The most instructions worth repeating to save a jump. */
const MAX_REPEATED = 4;

/** A jump back to a test becomes that test, so that each iteration jumps once. */
function testAtLoopEnds({ blocks }: LirFunction): void {
  const position = new Map(blocks.map((block, n) => [block, n]));
  for (const [n, block] of blocks.entries()) {
    const { end } = block;
    if (end.op !== 'jump' || position.get(end.target)! > n || end.target === block) continue;
    const { insts, end: test } = end.target;
    if (test.op !== 'branch' || insts.length > MAX_REPEATED) continue;
    block.insts.push(...insts);
    block.end = test;
  }
}
