/**
 * The state of instruction selection, as the rules see it: which register a value has, what can be an operand, and the
 * instructions written for the value at hand.
 */
import type { Block, IrFunction, Size, Value } from '../../ir/value.ts';
import { ArchError } from '../errors.ts';
import { type Address, matchAddress } from './address.ts';
import { fits32 } from './assembler.ts';
import type { InstructionName } from './instructions.ts';
import { type Callee, type Inst, imm, LirFunction, type MemOperand, type Operand, reg, type VReg } from './lir.ts';
import type { Reg } from './registers.ts';
import { constantOf, identical, keptBits, lowPart, ValueFacts } from './value-facts.ts';

/** What code is made for. */
export interface Target {
  /** Near where the code will lie: addresses within 1.9 GB are named relative to it. */
  readonly nearAddress: bigint;
  readonly features: Features;
}

/** What the processor can do beyond the baseline. */
export interface Features {
  readonly rdpid: boolean;
}

/** How a function gets its arguments and gives its result. */
export interface Convention {
  readonly params: readonly Reg[];
  /** Undefined if nobody wants the result. */
  readonly result: Reg | undefined;
  /** `site` values make sense: the code runs where the site's registers still hold. */
  readonly atSite: boolean;
}

const NEAR = 1_900_000_000n;

/** The point in the IR that instructions are being written for. */
interface Root {
  readonly block: Block;
  readonly effectsBefore: number;
  readonly origin: number | undefined;
}

export class Selection {
  readonly lir = new LirFunction();
  readonly facts: ValueFacts;
  readonly target: Target;
  readonly convention: Convention;
  readonly calleeOf: (fn: IrFunction) => Callee;
  /** Registers to be copied into place when the function is entered. */
  readonly entry = new Map<Reg, VReg>();
  readonly #registers = new Map<Value, VReg>();
  readonly #slots = new Map<Value, number>();
  #out: Inst[] = [];
  #root: Root | undefined;

  constructor(fn: IrFunction, target: Target, convention: Convention, calleeOf: (fn: IrFunction) => Callee) {
    this.facts = new ValueFacts(fn, convention.result !== undefined);
    this.target = target;
    this.convention = convention;
    this.calleeOf = calleeOf;
  }

  /** The instructions that `write` emits, for a point behind `effectsBefore` effects of `block`. */
  record(root: Root, write: () => void): Inst[] {
    const [outerRoot, outer] = [this.#root, this.#out];
    this.#root = root;
    this.#out = [];
    write();
    const insts = this.#out;
    this.#root = outerRoot;
    this.#out = outer;
    return insts;
  }

  /** Appends an instruction. */
  emit(op: InstructionName, size: Size, operands: readonly Operand[], more: Partial<Inst> = {}): void {
    this.#out.push({ op, size, operands, origin: this.#root?.origin, ...more });
  }

  // --- registers --------------------------------------------------------------------------------------------------

  newRegister(): VReg {
    return this.lir.newRegister();
  }

  /** A register that lives inside one instruction only. */
  newScratch(): VReg {
    const register = this.lir.newRegister();
    this.lir.unspillable.add(register);
    return register;
  }

  /** The register that the value's own instructions write. */
  result(value: Value): VReg {
    let register = this.#registers.get(value);
    if (register === undefined) {
      register = this.#newRegisterFor(value);
      this.#registers.set(value, register);
    }
    return register;
  }

  /** True if something behind this point asked for the value: its register cannot be worked in. */
  isAsked(value: Value): boolean {
    return this.#registers.has(identical(value));
  }

  /** The value in a register; what is `isRemade` is made anew at each use. */
  register(value: Value): VReg {
    const asked = identical(value);
    if (!isRemade(asked)) return this.result(asked);
    const register = this.newRegister();
    this.remake(register, asked);
    return register;
  }

  copy(dst: VReg, src: VReg): void {
    this.emit('copy', 8, [reg(dst), reg(src)]);
  }

  /** Puts a value into a register that will be changed: only its low `size` bytes need be right. */
  start(dst: VReg, value: Value, size: Size): void {
    const source = lowPart(value, size);
    if (isRemade(source)) this.remake(dst, source);
    else this.copy(dst, this.register(source));
  }

  /** Puts a constant or an address that is known to the code into a register. */
  remake(dst: VReg, value: Value): void {
    if (isOfCopy(value)) {
      this.emit('address', 8, [reg(dst), this.memory(OF_COPY)]);
      return;
    }
    const constant = constantOf(value);
    const unsigned = BigInt.asUintN(64, constant ?? 0n);
    const isLong = unsigned >> 32n !== 0n && !fits32(constant ?? 0n);
    if (constant === undefined || (isLong && this.isNear(unsigned))) {
      this.emit('lea', 8, [reg(dst), this.memory(this.address(value, 0))]);
    } else {
      this.emit('const', 8, [reg(dst), imm(unsigned)]);
    }
  }

  /** Puts values into registers, all at once. */
  place(moves: readonly (readonly [dst: VReg, value: Value])[]): void {
    const copies = moves.filter(([, value]) => !isRemade(identical(value)));
    if (copies.length > 0) {
      const sources = copies.map(([, value]) => reg(this.register(value)));
      this.emit('copy', 8, [...copies.map(([dst]) => reg(dst)), ...sources]);
    }
    for (const [dst, value] of moves) {
      if (isRemade(identical(value))) this.remake(dst, identical(value));
    }
  }

  // --- operands ---------------------------------------------------------------------------------------------------

  /** The low `size` bytes of a value as an immediate, if it is one, or in a register. */
  immediateOrRegister(value: Value, size: Size): Operand {
    return this.immediate(value, size) ?? reg(this.register(lowPart(value, size)));
  }

  /** The same, or where they lie in memory. */
  operand(value: Value, size: Size): Operand {
    return this.immediate(value, size) ?? this.foldedLoad(value, size) ?? reg(this.register(lowPart(value, size)));
  }

  /** The low `size` bytes of a constant, if an instruction can hold them. */
  immediate(value: Value, size: Size): Operand | undefined {
    const constant = constantOf(identical(value));
    if (constant === undefined) return undefined;
    const low = BigInt.asIntN(size * 8, constant);
    return fits32(low) ? imm(low) : undefined;
  }

  /** The memory a value is loaded from, if this is its only use and can read the low `size` bytes right there. */
  foldedLoad(value: Value, size: Size): MemOperand | undefined {
    const load = this.soleSource(value, size);
    if (load?.operation.op !== 'load' || load.operation.size < size || !this.canMoveHere(load)) return undefined;
    return this.memory(this.address(load.args[0]!, load.operation.offset));
  }

  /** What the low `size` bytes of a value come from, if nothing else needs that or what lies between. */
  soleSource(value: Value, size: Size): Value | undefined {
    let source = identical(value);
    while (this.facts.isSingleUse(source)) {
      if ((keptBits(source) ?? 0) < size * 8) return source;
      source = identical(source.args[0]!);
    }
    return undefined;
  }

  /** True if nothing with an effect lies between `value` and the instruction being written. */
  canMoveHere(value: Value): boolean {
    const { block, effectsBefore } = this.facts.of(value);
    return block === this.#root?.block && effectsBefore === this.#root.effectsBefore;
  }

  /** True if no instruction comes between `value` and the end of the block at hand, if nobody else asks for `besides`. */
  isLastBeforeEnd(value: Value, besides?: Value): boolean {
    const { block } = this.facts.of(value);
    if (block !== this.#root?.block || (besides !== undefined && !this.facts.isSingleUse(besides))) return false;
    const later = block.values.slice(block.values.indexOf(value) + 1);
    return later.every((other) => other === besides || isRemade(other) || this.facts.isDead(other));
  }

  /** The address `value` + `offset`, for `memory`. */
  address(value: Value, offset: number): Address {
    return matchAddress(value, offset, this);
  }

  /** The operand for an address; asks for its registers. */
  memory({ anchor, base, index, scale, disp }: Address): MemOperand {
    return {
      kind: 'mem',
      anchor,
      base: base && this.register(base),
      index: index && this.register(index),
      scale,
      disp,
    };
  }

  /** True if code can name this address relative to itself. */
  isNear(address: bigint): boolean {
    const distance = address - this.target.nearAddress;
    return distance < NEAR && distance > -NEAR;
  }

  /** The frame slot of a `stack` value. */
  slotOf(stack: Value): number {
    let slot = this.#slots.get(stack);
    if (slot === undefined) {
      if (stack.operation.op !== 'stack') throw new TypeError(`value ${stack.id} has no slot`);
      slot = this.lir.newSlot(stack.operation.size);
      this.#slots.set(stack, slot);
    }
    return slot;
  }

  // --- entry ------------------------------------------------------------------------------------------------------

  #newRegisterFor({ operation }: Value): VReg {
    if (operation.op === 'param') return this.#entryRegister(this.convention.params[operation.index]);
    if (operation.op !== 'site' || operation.source.in !== 'register') return this.newRegister();
    if (this.convention.atSite) return this.#entryRegister(operation.source.register as Reg);
    throw new ArchError(
      'ARCH_UNSUPPORTED',
      'cannot read a register of the site: this function is called by the body, pass the value as an argument',
    );
  }

  #entryRegister(source: Reg | undefined): VReg {
    if (source === undefined) {
      const { length } = this.convention.params;
      throw new ArchError('ARCH_UNSUPPORTED', `cannot pass so many arguments: ${length} at most`);
    }
    let register = this.entry.get(source);
    if (register === undefined) {
      register = this.newRegister();
      this.entry.set(source, register);
    }
    return register;
  }
}

function isOfCopy({ operation }: Value): boolean {
  return operation.op === 'site' && operation.source.in === 'copy';
}

const OF_COPY: Address = { anchor: { in: 'copy' }, base: undefined, index: undefined, scale: 1, disp: 0 };

/** True for what is cheaper made again than kept. */
function isRemade({ operation }: Value): boolean {
  if (operation.op === 'site') return operation.source.in !== 'register';
  return operation.op === 'const' || operation.op === 'stack';
}
