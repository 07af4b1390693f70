/**
 * Allocated code to bytes: frames, blocks and jumps.
 *
 * The frame lies at rsp, which moves only at the entry and the exit of a function, so slots are [rsp + n]:
 *
 *     rsp + frame   return address, or what the site left
 *     rsp           slots: spilled values and the function's own stack
 */
import { Assembler, type Label } from './assembler.ts';
import { negated } from './conditions.ts';
import { type Placed, rowOf } from './instructions.ts';
import {
  type Callee,
  type Inst,
  type LirBlock,
  type LirFunction,
  type MemOperand,
  type Operand,
  targets,
} from './lir.ts';
import { absolute, type Mem, thread } from './memory.ts';
import { Reg } from './registers.ts';

/** Where the parts of one copy of the code are. */
export interface Places {
  readonly blocks: ReadonlyMap<LirBlock, Label>;
  /** Where `return` goes to. */
  readonly end: Label;
  labelOf(callee: Callee): Label;
  /** Bytes from the function's frame to the stack pointer at the site. */
  readonly siteStack: number;
  /** Bytes from the function's frame to where each register was saved that the function changes for the site. */
  readonly saved: ReadonlyMap<Reg, number>;
  /** The address that this copy of the code was given. */
  readonly own: bigint | undefined;
}

/** Where jumps go: to a block, or to the end of the function. */
type Goal = LirBlock | 'end';

/** The goals that a jump at the end of a block reaches with 8 bits. */
type ShortJumps = ReadonlyMap<LirBlock, ReadonlySet<Goal>>;

/** A function's frame: where each slot begins, and how large it is. */
export interface Frame {
  readonly offsets: readonly number[];
  /** In bytes, a multiple of 8. */
  readonly size: number;
  /** How much lower rsp is in cold blocks, in bytes. */
  readonly coldPushes: number;
}

/** Lays slots out, one above the other. */
export function frameOf({ slots }: LirFunction, coldPushes: number): Frame {
  const offsets: number[] = [];
  let size = 0;
  for (const slot of slots) {
    offsets.push(size);
    size += slot;
  }
  return { offsets, size, coldPushes };
}

/** Writes the given blocks, one behind the other; `next` is what lies behind the last. */
export function emitBlocks(
  a: Assembler,
  blocks: readonly LirBlock[],
  frame: Frame,
  places: Places,
  next: 'end' | undefined,
): void {
  const short = shortJumpsOf(a, blocks, frame, places, next);
  writeBlocks(a, blocks, frame, places, next, short);
}

function writeBlocks(
  a: Assembler,
  blocks: readonly LirBlock[],
  frame: Frame,
  places: Places,
  next: 'end' | undefined,
  short: ShortJumps,
): void {
  blocks.forEach((block, n) => {
    a.bind(places.blocks.get(block)!);
    for (const inst of block.insts) emitInst(a, inst, frame, places, block.cold ? frame.coldPushes : 0);
    emitEnd(a, block, blocks[n + 1] ?? next, places, short.get(block) ?? NONE);
  });
}

const NONE: ReadonlySet<Goal> = new Set();

/** What was found for these blocks where code is as long: thousands of copies need one trial. */
const found = new WeakMap<
  readonly LirBlock[],
  { readonly named: readonly bigint[]; byPlace: Map<string, ShortJumps> }
>();

function shortJumpsOf(
  a: Assembler,
  blocks: readonly LirBlock[],
  frame: Frame,
  places: Places,
  next: 'end' | undefined,
): ShortJumps {
  let known = found.get(blocks);
  if (known === undefined) {
    known = { named: addressesIn(blocks), byPlace: new Map() };
    found.set(blocks, known);
  }
  const { siteStack, saved, own } = places;
  const inReach = [...known.named, ...(own === undefined ? [] : [own])].map((address) => +a.reaches(address));
  const key = `${siteStack} ${[...saved.keys()]} ${own !== undefined && own >> 32n === 0n} ${inReach}`;
  let short = known.byPlace.get(key);
  if (short === undefined) {
    short = findShortJumps(a, blocks, frame, places, next);
    known.byPlace.set(key, short);
  }
  return short;
}

/** What instructions name by its address: how long they are depends on whether they reach it. */
function addressesIn(blocks: readonly LirBlock[]): bigint[] {
  const operands = blocks.flatMap(({ insts }) =>
    insts.flatMap((inst) => inst.operands.map((operand) => ({ inst, operand }))),
  );
  const addresses = operands.flatMap(({ inst, operand }) => {
    if (operand.kind === 'mem') return operand.anchor.in === 'absolute' ? [operand.anchor.address] : [];
    return operand.kind === 'imm' && inst.op === 'callAddress' ? [operand.value] : [];
  });
  return [...new Set(addresses)];
}

/** Writes the blocks once on trial, with long jumps, and sees which could be short. */
function findShortJumps(
  a: Assembler,
  blocks: readonly LirBlock[],
  frame: Frame,
  places: Places,
  next: 'end' | undefined,
): ShortJumps {
  if (blocks.length < 2) return new Map();
  const trial = new Assembler(a.address);
  const labels = new Map([...places.blocks.keys()].map((block) => [block, trial.label()]));
  const elsewhere = trial.label();
  const tried = { ...places, blocks: labels, end: elsewhere, labelOf: () => elsewhere };
  writeBlocks(trial, blocks, frame, tried, next, new Map());

  const offsetOf = (goal: Goal | undefined) =>
    goal === undefined || goal === 'end' ? trial.size : labels.get(goal)?.offset;
  const short = new Map<LirBlock, Set<Goal>>();
  blocks.forEach((block, n) => {
    // A conditional jump may have another behind it, of 5 bytes.
    const from = offsetOf(blocks[n + 1])! - 5;
    const goals: Goal[] = block.end.op === 'return' ? ['end'] : [...targets(block)];
    const near = goals.filter((goal) => {
      const offset = goal === 'end' && next !== 'end' ? undefined : offsetOf(goal);
      return offset !== undefined && offset >= from && offset - from <= 127;
    });
    short.set(block, new Set(near));
  });
  return short;
}

function emitInst(a: Assembler, inst: Inst, frame: Frame, places: Places, pushed: number): void {
  a.mark(inst.origin);
  if (inst.op === 'call') {
    a.call(places.labelOf(inst.callee!));
    return;
  }
  rowOf(inst).encode(
    a,
    inst.operands.map((operand) => placed(operand, frame, places, pushed)),
    inst,
  );
}

function emitEnd(
  a: Assembler,
  block: LirBlock,
  next: Goal | undefined,
  places: Places,
  short: ReadonlySet<Goal>,
): void {
  const { end } = block;
  const reach = (target: Goal) => (short.has(target) ? 'short' : 'near');
  const labelOf = (target: Goal) => (target === 'end' ? places.end : places.blocks.get(target)!);
  if (end.op === 'branch') {
    if (end.ifSo === next) {
      a.jcc(negated(end.condition), labelOf(end.ifNot), reach(end.ifNot));
    } else if (end.ifNot === next || end.ifSo.frequency >= end.ifNot.frequency) {
      a.jcc(end.condition, labelOf(end.ifSo), reach(end.ifSo));
      if (end.ifNot !== next) a.jmp(labelOf(end.ifNot), reach(end.ifNot));
    } else {
      a.jcc(negated(end.condition), labelOf(end.ifNot), reach(end.ifNot));
      a.jmp(labelOf(end.ifSo), reach(end.ifSo));
    }
    return;
  }
  const target = end.op === 'return' ? 'end' : end.target;
  if (target !== next) a.jmp(labelOf(target), reach(target));
}

function placed(operand: Operand, frame: Frame, places: Places, pushed: number): Placed {
  if (operand.kind === 'reg') return operand.reg as Reg;
  return operand.kind === 'imm' ? operand.value : placedMemory(operand, frame, places, pushed);
}

function placedMemory(operand: MemOperand, frame: Frame, { siteStack, saved, own }: Places, pushed: number): Mem {
  const { anchor, scale, disp } = operand;
  const [base, index] = [operand.base as Reg | undefined, operand.index as Reg | undefined];
  switch (anchor.in) {
    case 'absolute':
      return absolute(anchor.address);
    case 'thread':
      return thread(disp);
    case 'copy':
      if (own === undefined) throw new RangeError('this copy of the code was given no address');
      return absolute(own);
    case 'nothing':
      return { base, index, scale, disp, segment: undefined };
    case 'frame':
      return { base: Reg.RSP, index, scale, disp: disp + pushed + frame.offsets[anchor.slot]!, segment: undefined };
    case 'site':
      return { base: Reg.RSP, index, scale, disp: disp + pushed + frame.size + siteStack, segment: undefined };
    case 'saved': {
      const place = saved.get(anchor.register);
      if (place === undefined) throw new RangeError(`register ${anchor.register} is not saved: nothing to change`);
      return { base: Reg.RSP, index, scale, disp: disp + pushed + frame.size + place, segment: undefined };
    }
  }
}
