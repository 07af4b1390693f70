/** What each kind of instruction does to the interpreter's machine: a closure each, made once per program. */
import { type Operation, operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { isKernelFunction } from '../insn/kernel-functions.ts';
import { ALU_32, ALU_64, ATOMIC, comparison, swapBytes } from './arithmetic.ts';
import { VmError } from './errors.ts';
import type { AddressSpace } from './memory.ts';

/** What instructions act on. */
export interface Machine {
  /** r0 to r10, each 0 to 2^64-1. */
  readonly registers: bigint[];
  readonly memory: AddressSpace;
  /** Starts a function's frame; `next` is where its exit goes. @throws {VmError} VM_STACK_OVERFLOW */
  enter(next: number): void;
  /** Ends it; the index to go on at. */
  leave(): number;
  /** Counts one may_goto of the running function; true if it has come to too many. */
  mayGoto(): boolean;
  /** Calls a helper with r1 to r5. @throws {VmError} VM_UNKNOWN_HELPER */
  callHelper(id: bigint): bigint;
}

/** Runs one instruction and gives the index of the next. */
export type Step = (machine: Machine) => number;

/** What an instruction knows of its place in the program. */
export interface Place {
  /** Index of the instruction behind it. */
  readonly next: number;
  /** Index of the one it jumps to or calls; `next` if it does neither. */
  readonly target: number;
  /** What a lddw loads. */
  readonly constant: bigint;
}

type Maker<K extends Operation['kind']> = (
  operation: Extract<Operation, { kind: K }>,
  insn: Insn,
  place: Place,
) => Step;

const MAKERS: { readonly [K in Operation['kind']]: Maker<K> } = {
  alu({ operator, width, operand }, insn, { next }) {
    const { dst } = insn;
    const second = operandOf(operand, insn);
    if (width === 64) {
      const compute = ALU_64[operator];
      return ({ registers }) => {
        registers[dst] = compute(registers[dst]!, second(registers));
        return next;
      };
    }
    const compute = ALU_32[operator];
    return ({ registers }) => {
      registers[dst] = BigInt(compute(low32(registers[dst]!), low32(second(registers))) >>> 0);
      return next;
    };
  },

  neg({ width }, { dst }, { next }) {
    return ({ registers }) => {
      registers[dst] = BigInt.asUintN(width, -registers[dst]!);
      return next;
    };
  },

  movsx({ bits, width }, { dst, src }, { next }) {
    return ({ registers }) => {
      registers[dst] = BigInt.asUintN(width, BigInt.asIntN(bits, registers[src]!));
      return next;
    };
  },

  endian({ order, bits }, { dst }, { next }) {
    return ({ registers }) => {
      const value = BigInt.asUintN(bits, registers[dst]!);
      registers[dst] = order === 'le' ? value : swapBytes(value, bits);
      return next;
    };
  },

  lddw(_, { dst }, { next, constant }) {
    return ({ registers }) => {
      registers[dst] = constant;
      return next;
    };
  },

  load({ size, signed }, { dst, src, offset }, { next }) {
    const at = addressOf(src, offset);
    return ({ registers, memory }) => {
      const value = memory.read(at(registers), size);
      registers[dst] = signed ? BigInt.asUintN(64, BigInt.asIntN(size * 8, value)) : value;
      return next;
    };
  },

  store({ size, operand }, insn, { next }) {
    const at = addressOf(insn.dst, insn.offset);
    const value = operandOf(operand, insn);
    return ({ registers, memory }) => {
      memory.write(at(registers), size, value(registers));
      return next;
    };
  },

  atomic({ operator, size, fetch }, { dst, src, offset }, { next }) {
    const at = addressOf(dst, offset);
    const compute = ATOMIC[operator];
    const compares = operator === 'cmpxchg';
    const result = compares ? 0 : src;
    return ({ registers, memory }) => {
      const address = at(registers);
      const old = memory.read(address, size);
      if (!compares || old === BigInt.asUintN(size * 8, registers[0]!)) {
        memory.write(address, size, compute(old, registers[src]!));
      }
      if (fetch) registers[result] = old;
      return next;
    };
  },

  jump(_operation, _insn, { target }) {
    return () => target;
  },

  branch({ condition, width, operand }, insn, { next, target }) {
    const { dst } = insn;
    const second = operandOf(operand, insn);
    const holds = comparison(condition, width);
    return ({ registers }) => (holds(registers[dst]!, second(registers)) ? target : next);
  },

  mayGoto(_operation, _insn, { next, target }) {
    return (machine) => (machine.mayGoto() ? target : next);
  },

  call({ callee }, { dst, imm }, { next, target }) {
    if (callee === 'kfunc' && !isKernelFunction(imm)) {
      // Programs ask whether one is there before they come to it.
      return () => {
        throw new VmError('VM_UNSUPPORTED', `cannot call kernel function ${imm}`);
      };
    }
    if (callee === 'local') {
      return (machine) => {
        machine.enter(next);
        return target;
      };
    }
    const fixed = BigInt(imm);
    return (machine) => {
      machine.registers[0] = machine.callHelper(callee === 'register' ? machine.registers[dst]! : fixed);
      return next;
    };
  },

  exit() {
    return (machine) => machine.leave();
  },
};

/** Makes the closure of one instruction. */
export function makeStep(insn: Insn, place: Place): Step {
  const operation = operationOf(insn);
  const make = MAKERS[operation.kind] as Maker<Operation['kind']>;
  return make(operation, insn, place);
}

/** Immediates are sign-extended to 64 bits whatever the width: a 32-bit operation looks at the low half. */
function operandOf(source: 'imm' | 'src', { imm, src }: Insn): (registers: readonly bigint[]) => bigint {
  if (source === 'src') return (registers) => registers[src]!;
  const value = BigInt.asUintN(64, BigInt(imm));
  return () => value;
}

function addressOf(base: number, offset: number): (registers: readonly bigint[]) => bigint {
  const distance = BigInt(offset);
  return (registers) => BigInt.asUintN(64, registers[base]! + distance);
}

function low32(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}
