/**
 * Accepted programs as machine code, run many times in memory with pages that nobody may touch around it: stack, context
 * and each map end where such a page begins. Before each run the context is filled with random numbers of all lengths.
 */
import { openSync, writeSync } from 'node:fs';
import { Assembler } from '../../src/arch/x64/assembler.ts';
import { emitSysVFunction } from '../../src/arch/x64/lower.ts';
import { at, indexed } from '../../src/arch/x64/memory.ts';
import { Reg } from '../../src/arch/x64/registers.ts';
import { alignUp } from '../../src/bytes/align.ts';
import { CompileError } from '../../src/compile/errors.ts';
import { compileFunction } from '../../src/compile/to-ir.ts';
import type { EmitMap } from '../../src/helpers/helper.ts';
import { PRINTK_RING_SIZE } from '../../src/helpers/printk-ring.ts';
import { HELPERS } from '../../src/helpers/table.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { mapMemory } from '../../src/maps/memory.ts';
import { mapTypeOf } from '../../src/maps/table.ts';
import { ExecutableMemory } from '../../src/sys/executable-memory.ts';
import { libc } from '../../src/sys/libc.ts';
import type { VerifiedProgram } from '../../src/verifier/check-structure.ts';
import { verify } from '../../src/verifier/verify.ts';
import { checkBare, NO_FACTS } from './compiling.ts';
import { randomSubject } from './verifier-programs.ts';
import { type VerifierSubject, verifyOptions } from './verifier-subject.ts';

const PAGE = 4096;
/** Where all of it lies; free in any process, in practice. */
const AREA = 0x2100_0000_0000n;
const AREA_SIZE = 1 << 28;
/** One place begins that far behind the other. */
const DISTANCE = 1 << 24;
const STACK_SIZE = 16 * PAGE;
/** As much as a context of any kind has. */
const CONTEXT_ROOM = 2 * PAGE;
const CODE_SIZE = 1 << 20;

const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FIXED = 0x10;
const MAP_FIXED_NOREPLACE = 0x10_0000;

/** How many rounds are to be run, and the seed of the contexts. */
const CONTROL_SIZE = 16;
const SAVED = [Reg.RBX, Reg.RBP, Reg.R12, Reg.R13, Reg.R14, Reg.R15] as const;

/** Helpers that change the process, or end it. */
const FORBIDDEN = new Set(['write-user', 'signal', 'override'] as const);

/** What a child is asked: programs of these seeds, each run so often. */
export interface GuardedBatch {
  readonly from: number;
  readonly count: number;
  readonly rounds: number;
}

/** How many programs were accepted and run, and how many runs that were. */
export interface GuardedTally {
  readonly programs: number;
  readonly runs: number;
}

/** The guarded memory of this process, which a program that escapes kills: for a child. */
export class GuardedMemory {
  readonly #code = new ExecutableMemory(CODE_SIZE);
  readonly #memory = openSync('/proc/self/mem', 'r+');
  readonly #cells: bigint;
  readonly #stackTop: bigint;
  /** The ends of places that were made: each is used again for whatever has its name and fits. */
  readonly #made = new Map<string, { readonly end: bigint; readonly room: number }>();

  constructor() {
    libc('mmap(guards)', 'mmap', AREA, AREA_SIZE, PROT_NONE, MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    this.#stackTop = this.#place('stack', STACK_SIZE) + BigInt(STACK_SIZE);
    this.#cells = this.#place('cells', PAGE);
  }

  /** Runs one program; the result is how many runs there were: none of a program that is refused or needs more than this. */
  run(subject: VerifierSubject, seed: number, rounds: number): number {
    const verdict = verify(subject.program, verifyOptions(subject));
    if (verdict.verdict === 'reject') return 0;
    try {
      this.#code.run(this.#compile(verdict.program, subject, seed), control(rounds, seed));
      return rounds;
    } catch (error) {
      if (error instanceof CompileError) return 0;
      throw error;
    }
  }

  /** Runs instructions once of which nothing is proven. */
  runUnproven(insns: readonly Insn[]): void {
    this.#code.run(this.#compile(checkBare(insns), { maps: [] }, 1), control(1, 1));
  }

  #compile(program: VerifiedProgram, { maps }: Pick<VerifierSubject, 'maps'>, seed: number): Uint8Array {
    const contextSize = alignUp(program.contextSize, 8);
    const placed = maps.map((spec): readonly [string, EmitMap] => {
      const type = mapTypeOf(spec);
      const bytes = new Uint8Array(type.size(spec));
      type.init(mapMemory(bytes), spec);
      const address = this.#place(`map ${spec.name}`, bytes.length);
      this.#write(address, bytes);
      return [spec.name, { spec, address }];
    });
    const facts = {
      ...NO_FACTS,
      pidCell: this.#cells,
      randomState: this.#cells + 8n,
      printkRing: this.#place('printk', PRINTK_RING_SIZE),
    };
    const random = new Uint8Array(8);
    new DataView(random.buffer).setBigUint64(0, BigInt(seed) + 1n, true);
    this.#write(facts.randomState, random);
    const a = new Assembler(this.#code.address);
    emitRounds(a, this.#place('context', contextSize, CONTEXT_ROOM), contextSize / 8, this.#stackTop);
    emitSysVFunction(
      a,
      compileFunction(program, { maps: new Map(placed), helpers: HELPERS, facts, attachCookie: 0n, forbid: FORBIDDEN }),
    );
    return a.finish();
  }

  /**
   * The address of so many bytes that end where a page without access begins; there is another in front of their first page.
   *
   * @param room as many as may ever be asked for under this name
   */
  #place(what: string, size: number, room = size): bigint {
    const made = this.#made.get(what) ?? this.#makePlace(what, alignUp(Math.max(room, 1), PAGE));
    if (size > made.room) throw new RangeError(`no room for ${size} bytes of ${what}: there are ${made.room}`);
    return made.end - BigInt(size);
  }

  #makePlace(what: string, room: number): { readonly end: bigint; readonly room: number } {
    const first = AREA + BigInt(this.#made.size * DISTANCE + PAGE);
    const end = first + BigInt(room);
    if (room + 2 * PAGE > DISTANCE || end >= AREA + BigInt(AREA_SIZE))
      throw new RangeError(`no place left for ${what}`);
    libc('mmap(place)', 'mmap', first, room, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS | MAP_FIXED, -1, 0);
    const made = { end, room };
    this.#made.set(what, made);
    return made;
  }

  #write(address: bigint, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#memory, bytes, done, bytes.length - done, Number(address) + done);
    }
  }
}

/** Runs the programs of some seeds. */
export function runGuarded(memory: GuardedMemory, { from, count, rounds }: GuardedBatch): GuardedTally {
  let programs = 0;
  let runs = 0;
  for (let seed = from; seed < from + count; seed++) {
    const done = memory.run(randomSubject(seed), seed, rounds);
    if (done > 0) programs++;
    runs += done;
  }
  return { programs, runs };
}

function control(rounds: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(CONTROL_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(rounds), true);
  view.setBigUint64(8, 0x9e37_79b9_7f4a_7c15n ^ BigInt(seed), true);
  return bytes;
}

/**
 * `f(control)`: on a stack of its own, as often as `control` says: fills the context, calls what follows behind this code.
 * rbx: control; r12: the stack it came with; r13: the state of an xorshift.
 */
function emitRounds(a: Assembler, context: bigint, words: number, stackTop: bigint): void {
  const [round, fill, program] = [a.label(), a.label(), a.label()];
  for (const register of SAVED) a.push(register);
  a.mov(Reg.RBX, Reg.RDI);
  a.mov(Reg.R12, Reg.RSP);
  a.mov(Reg.R13, at(Reg.RBX, 8));
  a.movImm(Reg.RSP, stackTop);
  a.bind(round);
  a.movImm(Reg.RDI, context);
  if (words > 0) {
    a.movImm(Reg.RDX, BigInt(words));
    a.bind(fill);
    emitXorshift(a);
    a.mov(Reg.RAX, Reg.R13);
    a.mov(Reg.RCX, Reg.R13);
    a.shiftImm('shr', Reg.RCX, 7);
    // By the low bits of rcx: numbers of any length, half of them negative.
    a.shiftCl('sar', Reg.RAX);
    a.mov(indexed(Reg.RDI, Reg.RDX, 8, -8), Reg.RAX);
    a.dec(Reg.RDX);
    a.jcc('ne', fill);
  }
  a.movImm(Reg.RSI, BigInt(words * 8));
  a.call(program);
  a.dec(at(Reg.RBX));
  a.jcc('ne', round);
  a.mov(Reg.RSP, Reg.R12);
  for (const register of SAVED.toReversed()) a.pop(register);
  a.ret();
  a.bind(program);
}

function emitXorshift(a: Assembler): void {
  for (const [operator, count] of [
    ['shl', 13],
    ['shr', 7],
    ['shl', 17],
  ] as const) {
    a.mov(Reg.RAX, Reg.R13);
    a.shiftImm(operator, Reg.RAX, count);
    a.alu('xor', Reg.R13, Reg.RAX);
  }
}
