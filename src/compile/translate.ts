/**
 * Bytecode to IR: one function of a program at a time, block by block in reverse postorder. Registers become SSA
 * values and the stack frame one `stack` value; calls and constants are left to who knows the whole program.
 */
import type { BasicBlock, SubprogramFlow } from '../insn/control-flow.ts';
import { MAY_GOTO_LIMIT, operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { FRAME_POINTER } from '../insn/opcode.ts';
import { Builder } from '../ir/builder.ts';
import { Renaming, type Variables } from '../ir/renaming.ts';
import { type Block, IrFunction, type Size, type Value } from '../ir/value.ts';
import { emitCondition, emitPlain, isPlain, type Registers } from './instructions.ts';
import { liveAtStart, type RegisterSet } from './liveness.ts';

/** What a function needs of the program around it; instructions are named by their index. */
export interface ProgramAround {
  readonly insns: readonly Insn[];
  /** How many of r1 to r5 the call takes; 0 for what is no call. */
  argumentCount(index: number): number;
  /** Writes the call. */
  emitCall(b: Builder, index: number, args: readonly Value[], caller: CallingFunction): Value;
  /** What listings show an instruction's code under. */
  originOf(index: number): number | undefined;
  /** Writes what the lddw loads. */
  emitConstant(b: Builder, index: number): Value;
  /** @throws {CompileError} COMPILE_CONTEXT_WRITE, COMPILE_NOT_ALLOWED */
  checkWrite(b: Builder, index: number, address: Value, offset: number, size: Size): void;
}

/** The function that a call is in: callx has its helper's number in a register, tail calls leave it. */
export interface CallingFunction extends Registers {
  /** Writes the way out, as `exit` does. */
  exit(r0: Value): void;
}

/** One function of the program. */
export interface FunctionSource {
  readonly name: string;
  readonly flow: SubprogramFlow;
  /** Bytes below the frame pointer that it may touch. */
  readonly frameSize: number;
}

/** How a function gets its r1 to r5. */
export interface Entry {
  readonly paramCount: number;
  /** Writes what the function begins with; the result is r1 and on. */
  emit(b: Builder): readonly Value[];
  /** Writes what the function ends with; the result is what it returns. */
  leave?(b: Builder, r0: Value): Value;
}

/** A function that takes as many params as it may read of r1 to r5. */
export function entryByParams(program: ProgramAround, { flow }: FunctionSource): Entry {
  const [live = 0] = liveAtStart(program.insns, flow, (index) => program.argumentCount(index));
  const paramCount = [5, 4, 3, 2, 1].find((register) => (live & (1 << register)) !== 0) ?? 0;
  return { paramCount, emit: (b) => b.params() };
}

/** Translates one function; nothing is optimised. @throws {CompileError} what `program` refuses */
export function translateFunction(program: ProgramAround, source: FunctionSource, entry: Entry): IrFunction {
  return new FunctionTranslator(program, source, entry).run();
}

/** r0 to r9 change; r10 does not. */
const VARIABLE_COUNT = FRAME_POINTER;
const FIRST_ARGUMENT = 1;
/** A frame is aligned to this, and so are accesses that compilers make in it. */
const FRAME_ALIGNMENT = 8;

class FunctionTranslator implements CallingFunction {
  readonly #program: ProgramAround;
  readonly #source: FunctionSource;
  readonly #live: readonly RegisterSet[];
  readonly #b: Builder;
  readonly #renaming: Renaming;
  /** Where each block of bytecode begins. */
  readonly #heads: readonly Block[];
  readonly #framePointer: Value;
  /** Where it counts how often may_goto may still fall through; undefined if it has none. */
  readonly #passes: Value | undefined;
  readonly #entry: Entry;
  /** Where the function ends, if something is written there, and r0 for each way to it. */
  #end: { readonly block: Block; readonly results: Value[] } | undefined;
  #variables: Variables;

  constructor(program: ProgramAround, source: FunctionSource, entry: Entry) {
    this.#program = program;
    this.#source = source;
    this.#entry = entry;
    this.#live = liveAtStart(program.insns, source.flow, (index) => program.argumentCount(index));
    this.#b = new Builder(new IrFunction(source.name, entry.paramCount));
    this.#renaming = new Renaming(this.#b.fn);
    const args = entry.emit(this.#b);
    this.#variables = Array.from({ length: VARIABLE_COUNT }, (_, register) => args[register - FIRST_ARGUMENT]);
    const frameSize = Math.max(source.frameSize, FRAME_ALIGNMENT);
    this.#framePointer = this.#b.add(this.#b.stack(frameSize), frameSize);
    this.#passes = this.#emitPasses();
    this.#heads = source.flow.blocks.map(() => this.#b.newBlock());
  }

  get(register: number): Value {
    if (register === FRAME_POINTER) return this.#framePointer;
    // Only what a program does not care about is left unwritten: an argument of a helper that takes fewer.
    this.#variables[register] ??= this.#b.const(0);
    return this.#variables[register];
  }

  set(register: number, value: Value): void {
    this.#variables[register] = value;
  }

  /** All ways out meet, where something is to be written: only then is all that came before known. */
  exit(r0: Value): void {
    if (this.#entry.leave === undefined) {
      this.#b.return(r0);
      return;
    }
    this.#end ??= { block: this.#b.newBlock(), results: [] };
    this.#end.results.push(r0);
    this.#b.jump(this.#end.block);
  }

  run(): IrFunction {
    this.#goTo(0);
    const order = reversePostorder(this.#source.flow.blocks);
    const left = new Set<number>();
    const comesFrom = predecessors(this.#source.flow.blocks, order);
    for (const block of order) {
      const isJoin = comesFrom[block]!.every((predecessor) => left.has(predecessor));
      this.#translate(block, isJoin ? 'join' : 'loop');
      left.add(block);
    }
    this.#writeEnd();
    this.#renaming.finish();
    return this.#b.fn;
  }

  #translate(index: number, kind: 'join' | 'loop'): void {
    const head = this.#heads[index]!;
    const live = this.#live[index]!;
    this.#b.at(head);
    this.#variables = this.#renaming.enter(head, kind, VARIABLE_COUNT, (register) => (live & (1 << register)) !== 0);
    const block = this.#source.flow.blocks[index]!;
    for (let insn = block.start; insn < block.end; insn++) {
      this.#b.origin = this.#program.originOf(insn);
      this.#instruction(insn, block);
    }
    if (this.#b.open) this.#goTo(block.successors[0]!);
  }

  #instruction(index: number, block: BasicBlock): void {
    const insn = this.#program.insns[index]!;
    const operation = operationOf(insn);
    switch (operation.kind) {
      case 'lddw':
        this.set(insn.dst, this.#program.emitConstant(this.#b, index));
        break;
      case 'call': {
        const count = this.#program.argumentCount(index);
        const args = Array.from({ length: count }, (_, argument) => this.get(FIRST_ARGUMENT + argument));
        this.set(0, this.#program.emitCall(this.#b, index, args, this));
        break;
      }
      case 'jump':
        this.#goTo(block.successors[0]!);
        break;
      case 'branch':
        this.#branch(emitCondition(this.#b, this, operation, insn), block);
        break;
      case 'mayGoto':
        this.#branch(this.#emitMayGoto(), block);
        break;
      case 'exit':
        this.exit(this.get(0));
        break;
      default:
        if (!isPlain(operation)) throw new RangeError(`no row for ${operation satisfies never}`);
        if (operation.kind === 'store' || operation.kind === 'atomic') {
          this.#program.checkWrite(this.#b, index, this.get(insn.dst), insn.offset, operation.size);
        }
        emitPlain(this.#b, this, operation, insn);
    }
  }

  #emitPasses(): Value | undefined {
    const { start, end } = this.#source.flow;
    const insns = this.#program.insns.slice(start, end);
    if (!insns.some((insn) => operationOf(insn).kind === 'mayGoto')) return undefined;
    const passes = this.#b.stack(8);
    this.#b.store(8, passes, 0, this.#b.const(MAY_GOTO_LIMIT));
    return passes;
  }

  /** Counts down to zero and stays there; the result is true at zero. */
  #emitMayGoto(): Value {
    const b = this.#b;
    const left = b.load(8, this.#passes!, 0);
    const isSpent = b.compare('eq', left, 0);
    b.store(8, this.#passes!, 0, b.select(isSpent, 0, b.add(left, -1)));
    return isSpent;
  }

  #writeEnd(): void {
    if (this.#end === undefined) return;
    this.#b.origin = undefined;
    this.#b.at(this.#end.block);
    const r0 = this.#b.phi();
    r0.args.push(...this.#end.results);
    this.#b.return(this.#entry.leave!(this.#b, r0));
  }

  #goTo(block: number): void {
    this.#leave();
    this.#b.jump(this.#heads[block]!);
  }

  #branch(condition: Value, { successors }: BasicBlock): void {
    const [otherwise, then] = successors as [number, number];
    if (then === otherwise) {
      this.#goTo(then);
    } else {
      this.#leave();
      this.#b.branch(condition, this.#heads[then]!, this.#heads[otherwise]!);
    }
  }

  /** Helpers may have opened blocks of their own, so control need not leave from where it came in. */
  #leave(): void {
    this.#renaming.leave(this.#b.block, this.#variables);
  }
}

/** Reachable blocks, each before its successors except along loops. */
function reversePostorder(blocks: readonly BasicBlock[]): number[] {
  const order: number[] = [];
  const seen = new Set([0]);
  const path = [{ block: 0, next: 0 }];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const successor = blocks[top.block]!.successors[top.next++];
    if (successor === undefined) {
      order.push(top.block);
      path.pop();
    } else if (!seen.has(successor)) {
      seen.add(successor);
      path.push({ block: successor, next: 0 });
    }
  }
  return order.reverse();
}

function predecessors(blocks: readonly BasicBlock[], reachable: readonly number[]): number[][] {
  const comesFrom: number[][] = blocks.map(() => []);
  for (const block of reachable) for (const successor of blocks[block]!.successors) comesFrom[successor]!.push(block);
  return comesFrom;
}
