/**
 * The small SSA form that everything executable is written in: programs, helpers and map operations alike.
 *
 * Every value is a 64-bit integer. A 32-bit operation reads the low halves of its operands and zero-extends its
 * result, which is what eBPF and x86-64 both do, so no conversion stands between them. Memory is little-endian.
 */

/** Width of an operation in bits. */
export type Width = 32 | 64;
/** Size of a memory access in bytes. */
export type Size = 1 | 2 | 4 | 8;

/** Shift counts are taken modulo the width. */
export type BinaryOperator =
  | 'add'
  | 'sub'
  | 'mul'
  | 'and'
  | 'or'
  | 'xor'
  | 'shl'
  | 'shr'
  | 'sar'
  /**
   * Division as the processor does it: the divisor is not zero, and for the signed ones not (minimum / -1).
   * Who cannot promise that puts a `select` in front (compile/ does, since eBPF defines those cases).
   */
  | 'udiv'
  | 'umod'
  | 'sdiv'
  | 'smod';

/** `sext8` and its kin sign-extend to the operation's width; `zext*` and `bswap*` clear what is above. */
export type UnaryOperator =
  | 'neg'
  | 'zext8'
  | 'zext16'
  | 'zext32'
  | 'sext8'
  | 'sext16'
  | 'sext32'
  | 'bswap16'
  | 'bswap32'
  | 'bswap64';

/** `test` is (a & b) != 0. */
export type Condition = 'eq' | 'ne' | 'ult' | 'ule' | 'ugt' | 'uge' | 'slt' | 'sle' | 'sgt' | 'sge' | 'test' | 'ntest';

export type AtomicOperator = 'add' | 'and' | 'or' | 'xor' | 'xchg';

/** What a value is; its operands are `Value.args`, in the order given here. */
export type Operation =
  /** A number known now. Target addresses are constants too: code is made for one place in one process. */
  | { readonly op: 'const'; readonly value: bigint }
  /** The function's argument `index`. */
  | { readonly op: 'param'; readonly index: number }
  /** What a register or a fact of the probed site holds when the program starts; named by the context model. */
  | { readonly op: 'site'; readonly source: SiteFact }
  /** args: value; what a register of the site holds when the site goes on. No result; not in called functions. */
  | { readonly op: 'siteStore'; readonly register: number }
  /** The address of `size` bytes of the function's own stack frame, aligned to 8. */
  | { readonly op: 'stack'; readonly size: number }
  /**
   * args: address; the same address, and a promise: of what it points to, nothing is touched through this value but the
   * `size` bytes from there on. The passes use it up.
   */
  | { readonly op: 'bounded'; readonly size: number }
  /** args: one per predecessor of the block, in that order. */
  | { readonly op: 'phi' }
  /** args: a, b */
  | { readonly op: 'binary'; readonly operator: BinaryOperator; readonly width: Width }
  /** args: a */
  | { readonly op: 'unary'; readonly operator: UnaryOperator; readonly width: Width }
  /** args: a, b; result 0 or 1 */
  | { readonly op: 'compare'; readonly condition: Condition; readonly width: Width }
  /** args: condition (not zero), value if so, value if not */
  | { readonly op: 'select' }
  /**
   * args: address; reads at address + offset, sign-extends to 64 bits if `signed`, zero-extends otherwise. Other threads
   * may write there: a load is made once, before the effects and the end of its block that follow it.
   */
  | { readonly op: 'load'; readonly size: Size; readonly signed: boolean; readonly offset: number }
  /** args: address, value; no result */
  | { readonly op: 'store'; readonly size: Size; readonly offset: number }
  /** args: address, value; locked; the result is the old memory, zero-extended, if `fetch` */
  | {
      readonly op: 'atomic';
      readonly operator: AtomicOperator;
      readonly size: 4 | 8;
      readonly offset: number;
      readonly fetch: boolean;
    }
  /**
   * args: address; adds 1 to 8 bytes in one unlocked instruction: a signal handler cannot come between, another thread
   * can. No result.
   */
  | { readonly op: 'increment'; readonly offset: number }
  /** args: address, expected, new; locked; the result is the old memory, zero-extended */
  | { readonly op: 'cmpxchg'; readonly size: 4 | 8; readonly offset: number }
  /** args: address (aligned to 16), expected low, expected high, new low, new high; locked; 1 if exchanged, else 0 */
  | { readonly op: 'cmpxchg16'; readonly offset: number }
  /** args: the callee's; the result is what it returns. */
  | { readonly op: 'call'; readonly callee: IrFunction }
  /** args: up to 6; a function of the target by its address, in the System V calling convention. */
  | { readonly op: 'callAddress'; readonly address: bigint }
  /** args: up to 6; the result is the kernel's (negative errno on failure). */
  | { readonly op: 'syscall'; readonly number: number }
  /** The word at fs:0, which is the thread pointer itself in the ELF TLS ABI. */
  | { readonly op: 'threadPointer' }
  /** args: none; reads fs:offset. Faults where fs is not set up: only for facts checked at attach. */
  | { readonly op: 'threadLoad'; readonly size: Size; readonly offset: number }
  /** The number of the processor this runs on. */
  | { readonly op: 'cpuNumber' }
  /** The time-stamp counter. */
  | { readonly op: 'timestamp' };

/** Where the attach implementation says a context field lives when the program starts. */
export type SiteSource =
  | SiteFact
  /** In memory: the word at the stack pointer at the site plus `offset`. */
  | { readonly in: 'stack'; readonly offset: number };

/** What holds at the site without looking into memory. */
export type SiteFact =
  /** A machine register, by the architecture's number. */
  | { readonly in: 'register'; readonly register: number }
  /** The stack pointer at the site plus `offset`. */
  | { readonly in: 'stackPointer'; readonly offset: number }
  /** A number that is the same at every hit. */
  | { readonly in: 'constant'; readonly value: bigint }
  /** An address that each copy of the code has its own of: said when the copy is written, so that all are compiled once. */
  | { readonly in: 'copy' };

/** One SSA value. Identity matters: two equal constants are two values until a pass joins them. */
export class Value {
  readonly id: number;
  readonly operation: Operation;
  /** Operands; passes replace them in place. */
  readonly args: Value[];
  /** Index of the eBPF instruction this came from, for listings; undefined for what no instruction asked for. */
  readonly origin: number | undefined;

  constructor(id: number, operation: Operation, args: readonly Value[], origin: number | undefined) {
    this.id = id;
    this.operation = operation;
    this.args = [...args];
    this.origin = origin;
  }
}

/** How a block ends. */
export type Terminator =
  | { readonly op: 'jump'; readonly target: Block }
  /** Goes to `then` if the condition is not zero. */
  | { readonly op: 'branch'; condition: Value; readonly then: Block; readonly otherwise: Block }
  | { readonly op: 'return'; value: Value };

export class Block {
  readonly id: number;
  /** Phis first, then in order of execution. */
  values: Value[] = [];
  terminator: Terminator | undefined;
  /** In the order of the phis' operands. Kept by whoever sets a terminator. */
  predecessors: Block[] = [];
  /** Rarely reached: laid out behind the rest. */
  readonly cold: boolean;

  constructor(id: number, cold: boolean) {
    this.id = id;
    this.cold = cold;
  }
}

export class IrFunction {
  readonly name: string;
  readonly paramCount: number;
  /** blocks[0] is the entry and has no predecessors. */
  blocks: Block[] = [];
  #nextValue = 0;
  #nextBlock = 0;

  constructor(name: string, paramCount: number) {
    this.name = name;
    this.paramCount = paramCount;
  }

  /** Makes a value of this function, in no block yet. */
  value(operation: Operation, args: readonly Value[] = [], origin?: number): Value {
    return new Value(this.#nextValue++, operation, args, origin);
  }

  /** Appends an empty block. */
  block(kind: 'hot' | 'cold' = 'hot'): Block {
    const block = new Block(this.#nextBlock++, kind === 'cold');
    this.blocks.push(block);
    return block;
  }
}

/** True for operations that must stay and stay in order: they write memory, or leave the function. */
export function hasEffect({ op }: Operation): boolean {
  return EFFECTS.has(op);
}

const EFFECTS: ReadonlySet<Operation['op']> = new Set([
  'siteStore',
  'store',
  'increment',
  'atomic',
  'cmpxchg',
  'cmpxchg16',
  'call',
  'callAddress',
  'syscall',
] as const);

/** The blocks control may go to from here. */
export function successors({ terminator }: Block): readonly Block[] {
  if (terminator === undefined || terminator.op === 'return') return [];
  return terminator.op === 'jump' ? [terminator.target] : [terminator.then, terminator.otherwise];
}
