/**
 * The form between IR and bytes: x86-64 instructions whose registers are not decided yet. What each instruction reads,
 * writes and encodes to stands in instructions.ts.
 */
import type { Size } from '../../ir/value.ts';
import type { ConditionCode } from './assembler.ts';
import type { InstructionName } from './instructions.ts';
import type { Scale } from './memory.ts';
import type { Reg } from './registers.ts';

/** Below 16 the hardware register of that number, from 16 on one that allocation decides. */
export type VReg = number;
export const FIRST_VIRTUAL = 16;

export interface RegOperand {
  readonly kind: 'reg';
  readonly reg: VReg;
}

export interface ImmOperand {
  readonly kind: 'imm';
  readonly value: bigint;
}

/** base + index * scale + disp, counted from the anchor. */
export interface MemOperand {
  readonly kind: 'mem';
  readonly anchor: Anchor;
  readonly base: VReg | undefined;
  readonly index: VReg | undefined;
  readonly scale: Scale;
  readonly disp: number;
}

/** What an address counts from besides its registers. */
export type Anchor =
  | { readonly in: 'nothing' }
  /** A place known now; takes no base, index or disp. */
  | { readonly in: 'absolute'; readonly address: bigint }
  /** The segment fs. */
  | { readonly in: 'thread' }
  /** A slot of the function's frame; takes no base. */
  | { readonly in: 'frame'; readonly slot: number }
  /** The stack pointer at the site; takes no base. */
  | { readonly in: 'site' }
  /** The address given to each copy of the code; takes no base, index or disp. */
  | { readonly in: 'copy' }
  /** Where a register of the site was saved before the body; takes no base, index or disp. */
  | { readonly in: 'saved'; readonly register: Reg };

export type Operand = RegOperand | ImmOperand | MemOperand;

export interface Inst {
  readonly op: InstructionName;
  /** Of the operation, in bytes. */
  readonly size: Size;
  /** Destination first. Replaced as registers are decided. */
  operands: readonly Operand[];
  /** For `jcc`-like instructions. */
  readonly condition?: ConditionCode;
  /** Hardware registers read besides the operands. */
  readonly reads?: readonly Reg[];
  /** Hardware registers written, after all reads, besides the operands. */
  readonly writes?: readonly Reg[];
  /** Whom `call` calls. */
  readonly callee?: Callee;
  /** The eBPF instruction it came from. */
  readonly origin: number | undefined;
}

/** What a caller needs to know of a function it calls. */
export interface Callee {
  /** General registers that it, and what it calls, may change; not rsp. */
  readonly clobbered: ReadonlySet<Reg>;
  /** Bytes of stack it needs, its return address not counted. */
  readonly stackBytes: number;
}

/** How a block ends. */
export type End =
  | { readonly op: 'jump'; readonly target: LirBlock }
  | {
      readonly op: 'branch';
      readonly condition: ConditionCode;
      readonly ifSo: LirBlock;
      readonly ifNot: LirBlock;
    }
  | { readonly op: 'return' };

export class LirBlock {
  insts: Inst[] = [];
  end: End = { op: 'return' };
  /** Rarely runs: lies out of line, and saves itself the registers that only such blocks change. */
  cold: boolean;
  /** How often it runs for each run of the function, estimated. */
  frequency = 1;

  constructor(cold: boolean) {
    this.cold = cold;
  }
}

export class LirFunction {
  /** In the order they will lie; the first is the entry. */
  blocks: LirBlock[] = [];
  /** Frame slots: sizes in bytes, multiples of 8. */
  readonly slots: number[] = [];
  /** Virtual registers that spilling cannot help. */
  readonly unspillable = new Set<VReg>();
  /** Hardware registers with something in them when the function begins: arguments, or what the site has there. */
  readonly arriving = new Set<Reg>();
  #registers = FIRST_VIRTUAL;

  /** One more than the highest virtual register. */
  get registerCount(): number {
    return this.#registers;
  }

  newRegister(): VReg {
    return this.#registers++;
  }

  newSlot(size: number): number {
    return this.slots.push((size + 7) & ~7) - 1;
  }
}

export function reg(register: VReg): RegOperand {
  return { kind: 'reg', reg: register };
}

export function imm(value: bigint): ImmOperand {
  return { kind: 'imm', value };
}

/** The first bytes of a frame slot. */
export function slotOperand(slot: number): MemOperand {
  return { kind: 'mem', anchor: { in: 'frame', slot }, base: undefined, index: undefined, scale: 1, disp: 0 };
}

/** An operand with other registers, those of its address included. */
export function mapRegisters(operand: Operand, to: (register: VReg) => VReg): Operand {
  if (operand.kind === 'reg') return reg(to(operand.reg));
  if (operand.kind === 'imm') return operand;
  const { base, index } = operand;
  if (base === undefined && index === undefined) return operand;
  return {
    ...operand,
    base: base === undefined ? undefined : to(base),
    index: index === undefined ? undefined : to(index),
  };
}

/** The blocks control may go to from here. */
export function targets({ end }: LirBlock): readonly LirBlock[] {
  if (end.op === 'return') return [];
  return end.op === 'jump' ? [end.target] : [end.ifSo, end.ifNot];
}
