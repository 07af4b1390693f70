/**
 * From IR to machine code: what compile/ and the trampolines call. Selection, layout, allocation and emission follow one
 * another here; each is a file of its own.
 */
import type { IrFunction } from '../../ir/value.ts';
import { ArchError } from '../errors.ts';
import { allocate } from './allocate.ts';
import type { Assembler, Label } from './assembler.ts';
import { saveInColdBlocks } from './cold-saves.ts';
import { emitBlocks, type Frame, frameOf, type Places } from './emit.ts';
import { finish } from './finish.ts';
import { layOut } from './layout.ts';
import type { Callee, LirBlock, LirFunction } from './lir.ts';
import { changedIn } from './liveness.ts';
import { CALL_ARGS, Reg, SYSV_ARGS, SYSV_SCRATCH } from './registers.ts';
import { select } from './select.ts';
import type { Convention, Features, Target } from './selection.ts';
import { splitAroundColdCalls } from './split.ts';

export interface LowerOptions {
  /** Near where the code will lie: addresses within 1.9 GB are named relative to it. */
  readonly nearAddress: bigint;
  /** What the processor can do; the baseline if not given. */
  readonly features?: Features;
  /** Registers that may be changed at no cost, best first: those that are saved anyway. None if not given. */
  readonly preferred?: readonly Reg[];
  /** Where the program's result is wanted; nowhere if not given. */
  readonly result?: Reg | undefined;
}

const BASELINE: Features = { rdpid: false };

/** What one copy of a body needs to know of its place. */
export interface BodyEntry {
  /** The site's rsp minus the rsp on entry of the body: what was pushed since, in bytes. */
  readonly siteStack: number;
  /** The registers pushed last, in that order; only a body that changes the site needs to know. */
  readonly saved?: readonly Reg[];
  /** The copy's own address; only a body that asks for it needs to know. */
  readonly own?: bigint;
}

/** A program as a piece of code that can be written at its site, more than once. */
export interface LoweredProgram {
  /**
   * General registers that the body and what it calls may change, and those it changes where they are saved; not rsp.
   * Flags are always changed.
   */
  readonly clobbered: ReadonlySet<Reg>;
  /** Of those, the ones whose saved copies it changes: the site goes on with other values in them. */
  readonly changes: ReadonlySet<Reg>;
  /** Registers whose value at the site the body needs where it begins. */
  readonly reads: ReadonlySet<Reg>;
  /**
   * Bytes of stack used below the rsp that the body is entered with. What functions of the target need that it calls by
   * address comes on top.
   */
  readonly stackBytes: number;
  /** Where the body leaves its result: as asked for. */
  readonly result: Reg | undefined;
  /**
   * Writes the body inline: control enters at the top, with the registers of the site as they were there, and leaves at
   * the end.
   */
  emitBody(a: Assembler, entry: BodyEntry): void;
  /** Writes what the body keeps out of line; after `emitBody`, behind code that does not fall through. */
  emitFunctions(a: Assembler): void;
}

/** Lowers a program without parameters, or whose parameters became `site` values. */
export function lower(fn: IrFunction, options: LowerOptions): LoweredProgram {
  const { nearAddress, features = BASELINE, preferred = [], result } = options;
  const unit = new Unit({ nearAddress, features });
  const body = unit.compile(fn, { params: [], result, atSite: true }, preferred);
  const emissions = new WeakMap<Assembler, Emission>();
  return {
    clobbered: body.clobbered,
    changes: new Set(changedForSite(body.lir)),
    reads: body.lir.arriving,
    stackBytes: body.stackBytes,
    result,
    emitBody(a, entry) {
      const emission = new Emission(unit);
      emissions.set(a, emission);
      emission.emitBody(a, body, entry);
    },
    emitFunctions(a) {
      const emission = emissions.get(a);
      if (emission === undefined) throw new TypeError('emitFunctions comes after emitBody, on the same assembler');
      emission.emitRest(a);
    },
  };
}

/** The program whose copies have `address` for their own: compiled once, written for each. */
export function copyFor(program: LoweredProgram, address: bigint): LoweredProgram {
  return { ...program, emitBody: (a, entry) => program.emitBody(a, { ...entry, own: address }) };
}

/** Writes a whole System V function, and behind it those it calls: for code that C, or this process, calls. */
export function emitSysVFunction(a: Assembler, fn: IrFunction, features = BASELINE): void {
  const unit = new Unit({ nearAddress: a.address, features });
  const convention = { params: SYSV_ARGS, result: Reg.RAX, atSite: false };
  const code = unit.compile(fn, convention, SYSV_SCRATCH);
  const saved = [...code.clobbered].filter((register) => !SYSV_SCRATCH.includes(register));
  const emission = new Emission(unit);
  for (const register of saved) a.push(register);
  emission.emitFunction(a, code, () => {
    for (const register of saved.toReversed()) a.pop(register);
  });
  emission.emitRest(a);
}

/** An allocated function. */
interface Code extends Callee {
  readonly lir: LirFunction;
  /** Its blocks: those that follow the entry, and those that lie out of line. */
  readonly hot: readonly LirBlock[];
  readonly cold: readonly LirBlock[];
  readonly frame: Frame;
}

/** The functions of one program, compiled once each. */
class Unit {
  readonly #target: Target;
  readonly #functions = new Map<IrFunction, Code | 'in progress'>();

  constructor(target: Target) {
    this.#target = target;
  }

  /** What the program calls, callees first. */
  get functions(): Code[] {
    return [...this.#functions.values()].filter((code) => code !== 'in progress');
  }

  compile(fn: IrFunction, convention: Convention, preferred: readonly Reg[]): Code {
    const lir = select(fn, this.#target, convention, (callee) => this.#callee(callee));
    layOut(lir);
    splitAroundColdCalls(lir);
    finish(lir, allocate(lir, preferred));
    const { result } = convention;
    const free = new Set(result === undefined ? preferred : [...preferred, result]);
    const saved = saveInColdBlocks(lir, free);
    const frame = frameOf(lir, 8 * saved.length);
    const clobbered = changedIn(lir.blocks);
    for (const register of saved) clobbered.delete(register);
    for (const register of changedForSite(lir)) clobbered.add(register);
    const isHot = (block: LirBlock) => !block.cold || block === lir.blocks[0];
    const hot = lir.blocks.filter(isHot);
    const cold = lir.blocks.filter((block) => !isHot(block));
    return { lir, hot, cold, frame, clobbered, stackBytes: frame.size + frame.coldPushes + deepest(lir) };
  }

  #callee(fn: IrFunction): Code {
    const known = this.#functions.get(fn);
    if (known === 'in progress') {
      throw new ArchError('ARCH_RECURSION', `cannot compile ${fn.name}: it calls itself, calls must not go in circles`);
    }
    if (known !== undefined) return known;
    this.#functions.set(fn, 'in progress');
    const code = this.compile(fn, { params: CALL_ARGS, result: Reg.RAX, atSite: false }, [Reg.RAX, ...CALL_ARGS]);
    this.#functions.set(fn, code);
    return code;
  }
}

/** Registers whose saved copies the function changes. */
function changedForSite({ blocks }: LirFunction): Reg[] {
  const operands = blocks.flatMap(({ insts }) => insts.flatMap((inst) => inst.operands));
  return operands.flatMap((o) => (o.kind === 'mem' && o.anchor.in === 'saved' ? [o.anchor.register] : []));
}

/** Stack below a function's frame: what it pushes, and what the deepest of its callees needs. */
function deepest({ blocks }: LirFunction): number {
  let most = 0;
  for (const { insts } of blocks) {
    let pushed = 0;
    for (const { op, callee } of insts) {
      if (op === 'push') pushed += 8;
      if (op === 'pop') pushed -= 8;
      // A return address; alignment takes up to 8 more, since rsp is a multiple of 8.
      const called = op === 'call' ? 8 + callee!.stackBytes : op === 'callAddress' ? 16 : 0;
      most = Math.max(most, pushed, called);
    }
  }
  return most;
}

/** One copy of a program's code in one assembler. */
class Emission {
  readonly #unit: Unit;
  readonly #labels = new Map<Callee, Label>();
  readonly #outOfLine: (() => void)[] = [];

  constructor(unit: Unit) {
    this.#unit = unit;
  }

  /** The hot blocks, inline; the cold ones wait for `emitRest`. */
  emitBody(a: Assembler, code: Code, entry: BodyEntry): void {
    this.#outOfLine.push(this.#emitHot(a, code, entry));
  }

  /** A function that is entered by a call; `leave` writes what stands before its `ret`. */
  emitFunction(a: Assembler, code: Code, leave: () => void = () => {}): void {
    const emitCold = this.#emitHot(a, code, { siteStack: 0 });
    leave();
    a.ret();
    emitCold();
  }

  emitRest(a: Assembler): void {
    for (const write of this.#outOfLine) write();
    for (const code of this.#unit.functions) {
      a.bind(this.#labelOf(a, code));
      this.emitFunction(a, code);
    }
    a.mark(undefined);
  }

  /** From the entry to the end; returns what writes the cold blocks. */
  #emitHot(a: Assembler, { lir, hot, cold, frame }: Code, { siteStack, saved = [], own }: BodyEntry): () => void {
    const places: Places = {
      blocks: new Map(lir.blocks.map((block) => [block, a.label()])),
      end: a.label(),
      labelOf: (callee) => this.#labelOf(a, callee),
      siteStack,
      saved: new Map(saved.toReversed().map((register, n) => [register, 8 * n])),
      own,
    };
    moveStack(a, -frame.size);
    emitBlocks(a, hot, frame, places, 'end');
    a.bind(places.end);
    a.mark(undefined);
    moveStack(a, frame.size);
    return () => emitBlocks(a, cold, frame, places, undefined);
  }

  #labelOf(a: Assembler, callee: Callee): Label {
    let label = this.#labels.get(callee);
    if (label === undefined) {
      label = a.label();
      this.#labels.set(callee, label);
    }
    return label;
  }
}

/** add rsp, bytes; -128 and what is below 128 fit in a byte */
function moveStack(a: Assembler, bytes: number): void {
  if (bytes === 0) return;
  if (bytes === 128 || (bytes < 0 && bytes !== -128)) a.aluImm('sub', Reg.RSP, -bytes);
  else a.aluImm('add', Reg.RSP, bytes);
}
