/** A whole program as IR: its functions, what its lddw load, and what helpers may ask when they write themselves. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';
import { HelperError } from '../helpers/errors.ts';
import type { CallModel, EmitContext, EmitMap, Helper, TargetFacts } from '../helpers/helper.ts';
import type { Permission, Requirement } from '../helpers/prototype.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { SlotMap } from '../insn/layout.ts';
import { Builder } from '../ir/builder.ts';
import type { IrFunction, SiteSource, Size, Value } from '../ir/value.ts';
import { arrayValueOffset } from '../maps/array.ts';
import { MapFlag } from '../maps/spec-check.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { tailCallers } from '../verifier/tail-call.ts';
import { boundArguments } from './argument-bounds.ts';
import { CompileError, type CompileErrorCode } from './errors.ts';
import { emitForEach, innerMaps } from './inner-maps.ts';
import { usesSlots } from './program-calls.ts';
import { calleesOf, type TailCallee, type TailCallOptions } from './tail-callees.ts';
import { CalleeEntry, type CompiledCallee, followFunction, goOn, noteNext, withRun } from './tail-calls.ts';
import {
  type CallingFunction,
  type Entry,
  entryByParams,
  type FunctionSource,
  type ProgramAround,
  translateFunction,
} from './translate.ts';

/** What a program is compiled against. */
export interface CompileOptions {
  /** By name: each map the program refers to, and where it lies in the target. */
  readonly maps: ReadonlyMap<string, EmitMap>;
  /** By number. */
  readonly helpers: ReadonlyMap<number, Helper>;
  readonly facts: TargetFacts;
  readonly attachCookie: bigint;
  /** What the target or the user does not allow; a helper that requires it is refused. */
  readonly forbid: ReadonlySet<Requirement>;
  /** Writes what runs at a site before the program: the counting of hits, and the taking of a slot if it needs one. */
  readonly begin?: (b: Builder, slots: 'none' | 'one') => ProgramRun;
  /** What tail calls may lead to; nothing if not given. */
  readonly tailCalls?: TailCallOptions;
}

/** One run of a program, as its code knows it. */
export interface ProgramRun {
  /** The number of its slot of per-CPU maps. */
  readonly slot?: Value;
  /** Writes what runs at its end. */
  readonly end?: (b: Builder) => void;
}

/** What a program begins with. */
export interface ProgramEntry extends Entry {
  readonly functionIp: SiteSource;
  emitFunctionIp(b: Builder): Value;
  readonly call: CallModel;
  /** The number of the run's slot, in the program itself, once `emit` has taken it. */
  readonly slot: Value | undefined;
  /** Of a program that goes on by a tail call, the address of the run. */
  readonly run?: Value | undefined;
  /** The address of the context that `emit` wrote, if it did so in `fn`. */
  contextIn(fn: IrFunction): Value | undefined;
  /** Notes that the program writes there in the context, or says that it may not. */
  write(offset: number, size: Size): 'allowed' | 'read only';
  /** What there is to say of parts that are read only, if anything. */
  readonly whyReadOnly: string | undefined;
  /** @throws {CompileError} COMPILE_CONTEXT_TOO_SMALL if the program uses more of its context than there is */
  checkContext(program: VerifiedProgram): void;
}

/** Translates the main function and, through its calls, every other. @throws {CompileError} each of its codes */
export function translateProgram(program: VerifiedProgram, entry: ProgramEntry, options: CompileOptions): IrFunction {
  entry.checkContext(program);
  const callees = calleesOf(program, options.tailCalls);
  const follow = callees.length === 0 ? undefined : followOf(callees, entry, options);
  return new ProgramTranslator(program, entry, options, follow).main();
}

/** What runs the programs that tail calls lead to; those that cannot run here are left out. */
function followOf(callees: readonly TailCallee[], entry: ProgramEntry, options: CompileOptions): IrFunction {
  return followFunction(
    callees.flatMap(({ number, program }): readonly CompiledCallee[] => {
      try {
        entry.checkContext(program);
        return [{ number, fn: new ProgramTranslator(program, new CalleeEntry(entry), options, 'follows').main() }];
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        options.tailCalls!.leaveOut(program, error);
        return [];
      }
    }),
  );
}

class ProgramTranslator implements ProgramAround, EmitContext {
  readonly #program: VerifiedProgram;
  readonly #entry: ProgramEntry;
  readonly #options: CompileOptions;
  readonly #slots: SlotMap;
  /** Index of the first instruction -> subprogram. */
  readonly #subprogramAt: ReadonlyMap<number, number>;
  /** By number, and by the maps that the function is given: it knows them. */
  readonly #functions = new Map<string, IrFunction>();
  readonly #entries: (Entry | undefined)[] = [];
  readonly #shared = new Map<string, IrFunction>();
  /** What functions get behind their arguments, and where each has it. */
  readonly #passed: readonly Passed[];
  readonly #passedIn = new Map<IrFunction, Readonly<Partial<Record<Passed, Value>>>>();
  /** What has the programs go on that tail calls lead to; this may be one of them. */
  readonly #follow: IrFunction | 'follows' | undefined;
  /** The subprograms that make tail calls. */
  readonly #tailCallers: ReadonlySet<number>;
  /** The function whose helper writes itself. */
  #calling: CallingFunction | undefined;
  /** How many functions, beside the program itself, are being translated. */
  #depth = 0;
  /** Which map a constant stands for. */
  readonly #handles = new Map<Value, EmitMap>();
  /** Where in a map's only value a constant points to. */
  readonly #places = new Map<Value, { readonly map: EmitMap; readonly offset: number }>();
  /** Which subprogram a constant stands for. */
  readonly #callees = new Map<Value, number>();

  constructor(
    program: VerifiedProgram,
    entry: ProgramEntry,
    options: CompileOptions,
    follow: IrFunction | 'follows' | undefined,
  ) {
    this.#program = program;
    this.#entry = entry;
    this.#options = options;
    this.#follow = follow;
    this.#slots = new SlotMap(program.insns);
    this.#tailCallers = follow === undefined ? new Set() : tailCallers(program, options.helpers);
    const passesRun = [...this.#tailCallers].some((subprogram) => subprogram !== 0);
    this.#passed = [...(usesSlots(program, options) ? ['slot' as const] : []), ...(passesRun ? ['run' as const] : [])];
    this.#subprogramAt = new Map(program.subprograms.map(({ start }, index) => [start, index]));
  }

  main(): IrFunction {
    const entry =
      this.#follow === undefined
        ? this.#entry
        : withRun(this.#entry, this.#follow, (b, run) => this.#passedIn.set(b.fn, { run }));
    return translateFunction(this, this.#source(0), entry);
  }

  // --- for the functions ----------------------------------------------------------------------------------------

  get insns(): readonly Insn[] {
    return this.#program.insns;
  }

  argumentCount(index: number): number {
    const insn = this.insns[index]!;
    const operation = operationOf(insn);
    if (operation.kind !== 'call') return 0;
    switch (operation.callee) {
      case 'local':
        return this.#paramsOf(this.#target(index)).paramCount;
      case 'helper':
      case 'kfunc':
        return this.#helper(index, insn.imm).args.length;
      default:
        return MAX_ARGUMENTS;
    }
  }

  originOf(index: number): number | undefined {
    return this.#follow === 'follows' ? undefined : index;
  }

  emitCall(b: Builder, index: number, args: readonly Value[], caller: CallingFunction): Value {
    const insn = this.insns[index]!;
    const operation = operationOf(insn);
    this.#calling = caller;
    if (operation.kind === 'call' && operation.callee === 'local')
      return this.#callFunction(b, this.#target(index), args);
    if (operation.kind === 'call' && operation.callee !== 'register') return this.#emitHelper(b, index, insn.imm, args);
    const number = caller.get(insn.dst).operation;
    if (number.op !== 'const') {
      throw this.#error(index, 'COMPILE_DYNAMIC_CALL', `callx r${insn.dst} needs a helper number known now`);
    }
    return this.#emitHelper(b, index, Number(BigInt.asIntN(32, number.value)), args);
  }

  emitConstant(b: Builder, index: number): Value {
    const reference = this.#program.references.get(index);
    switch (reference?.kind) {
      case undefined:
        return b.const(this.insns[index]!.imm64!);
      case 'map': {
        const map = this.#map(index, reference.map);
        const handle = b.const(map.address);
        this.#handles.set(handle, map);
        return handle;
      }
      case 'mapValue': {
        const map = this.#map(index, reference.map);
        const { offset } = reference;
        const value = b.const(map.address + BigInt(arrayValueOffset(map.spec, 0) + offset));
        this.#places.set(value, { map, offset });
        return value;
      }
      case 'function': {
        const callee = b.const(FIRST_FUNCTION + BigInt(reference.insn));
        this.#callees.set(callee, this.#subprogramAt.get(reference.insn)!);
        return callee;
      }
    }
  }

  checkWrite(b: Builder, index: number, address: Value, offset: number, size: Size): void {
    const [base, moved] = baseOf(address);
    if (base !== this.#entry.contextIn(b.fn)) return;
    if (this.#entry.write(moved + offset, size) === 'read only') {
      const why = this.#entry.whyReadOnly;
      throw this.#error(index, 'COMPILE_CONTEXT_WRITE', 'the context may only be read', {
        ...(why !== undefined && { why }),
        fix: 'copy the field to a variable of your own and change that',
      });
    }
    this.#require('override', index, 'it writes to its context');
  }

  // --- for helpers ----------------------------------------------------------------------------------------------

  map(map: Value): EmitMap {
    const known = this.#handles.get(map);
    if (known === undefined) throw new HelperError('HELPER_NOT_A_MAP', 'the map must be the one that lddw loaded');
    return known;
  }

  constantAt(address: Value): Uint8Array {
    const [base, moved] = baseOf(address);
    const place = this.#places.get(base);
    const bytes = place?.map.spec.initialValue;
    if (place === undefined || bytes === undefined || (place.map.spec.flags & MapFlag.RDONLY_PROG) === 0) {
      throw new HelperError(
        'HELPER_NOT_CONSTANT',
        'the format must be a constant of the object, the same on every path',
      );
    }
    return bytes.subarray(place.offset + moved);
  }

  get facts(): TargetFacts {
    return this.#options.facts;
  }

  functionIp(b: Builder): Value {
    if (this.#depth === 0 || this.#entry.functionIp.in === 'constant') return this.#entry.emitFunctionIp(b);
    throw new HelperError(
      'HELPER_SITE_UNKNOWN',
      'which site it runs at is known to the program itself, not to a function',
    );
  }

  get call(): CallModel {
    return this.#entry.call;
  }

  contextIn(fn: IrFunction): Value {
    const context = this.#entry.contextIn(fn);
    if (context !== undefined) return context;
    throw new HelperError('HELPER_NO_CONTEXT', 'it works in the program itself only, not in a function of it');
  }

  get attachCookie(): bigint {
    return this.#options.attachCookie;
  }

  shared(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction {
    const known = this.#shared.get(name);
    if (known !== undefined) return known;
    const made = Builder.function(name, paramCount, body);
    this.#shared.set(name, made);
    return made;
  }

  slot(b: Builder): Value {
    // Where nobody else runs there is one slot only.
    return this.#passedIn.get(b.fn)?.slot ?? this.#entry.slot ?? b.const(0);
  }

  goOnIn(b: Builder, number: Value): void {
    const run = this.#passedIn.get(b.fn)?.run;
    // Where no program can follow, what is in the map is not of our making.
    if (run !== undefined) noteNext(b, run, number, () => this.#calling!.exit(b.const(0)));
  }

  callBack(b: Builder, fn: Value, args: readonly Value[]): Value {
    const callee = this.#callees.get(fn);
    if (callee !== undefined) return this.#callFunction(b, callee, args);
    throw new HelperError('HELPER_NOT_A_FUNCTION', 'the function must be the one that lddw loaded');
  }

  // --- leaves ---------------------------------------------------------------------------------------------------

  #source(subprogram: number): FunctionSource {
    const { subprograms, flow, frameSizes } = this.#program;
    return {
      name: subprograms[subprogram]!.name,
      flow: flow[subprogram]!,
      frameSize: frameSizes[subprogram]!,
    };
  }

  /**
   * A function may take more than it is given: what only seems to be read. Where it makes a tail call, its caller waits for the
   * programs that go on in its place.
   */
  #callFunction(b: Builder, subprogram: number, given: readonly Value[]): Value {
    const { paramCount } = this.#paramsOf(subprogram);
    const args = Array.from({ length: paramCount }, (_, index) => given[index] ?? b.const(0));
    const maps = args.map((arg) => this.#handles.get(arg));
    const run = this.#passedIn.get(b.fn)?.run;
    const passed = this.#passed.map((what) => (what === 'slot' ? this.slot(b) : run!));
    const r0 = b.call(this.#function(subprogram, maps), [...args, ...passed]);
    const follow = this.#follow;
    if (!this.#tailCallers.has(subprogram) || follow === undefined || follow === 'follows') return r0;
    return goOn(b, run!, r0, follow);
  }

  /** @param maps which of its arguments are maps */
  #function(subprogram: number, maps: readonly (EmitMap | undefined)[]): IrFunction {
    const name = [subprogram, ...maps.map((map) => map?.address)].join(' ');
    const known = this.#functions.get(name);
    if (known !== undefined) return known;
    this.#depth++;
    const entry = this.#withMaps(this.#paramsOf(subprogram), maps);
    const made = translateFunction(this, this.#source(subprogram), this.#withPassed(entry));
    this.#depth--;
    this.#functions.set(name, made);
    return made;
  }

  #withMaps({ paramCount }: Entry, maps: readonly (EmitMap | undefined)[]): Entry {
    return {
      paramCount,
      emit: (b) => {
        const params = b.params();
        for (const [index, map] of maps.entries()) if (map !== undefined) this.#handles.set(params[index]!, map);
        return params;
      },
    };
  }

  #paramsOf(subprogram: number): Entry {
    const known = this.#entries[subprogram];
    if (known !== undefined) return known;
    const made = entryByParams(this, this.#source(subprogram));
    this.#entries[subprogram] = made;
    return made;
  }

  /** The same with as many more parameters. */
  #withPassed({ paramCount, emit }: Entry): Entry {
    const passed = this.#passed;
    return {
      paramCount: paramCount + passed.length,
      emit: (b) => {
        const params = emit(b);
        this.#passedIn.set(b.fn, Object.fromEntries(passed.map((what, place) => [what, params[paramCount + place]!])));
        return params.slice(0, paramCount);
      },
    };
  }

  #target(index: number): number {
    return this.#subprogramAt.get(this.#slots.target(this.insns[index]!)!)!;
  }

  #helper(index: number, id: number): Helper {
    const helper = this.#options.helpers.get(id);
    if (helper === undefined) throw this.#error(index, 'COMPILE_UNKNOWN_HELPER', `invalid func unknown#${id}`);
    return helper;
  }

  #emitHelper(b: Builder, index: number, id: number, args: readonly Value[]): Value {
    const helper = this.#helper(index, id);
    for (const requirement of helper.requires) {
      if (requirement !== 'syscall') this.#require(requirement, index, `it calls ${helper.name}`);
      else if (this.#options.forbid.has(requirement)) {
        throw this.#error(index, 'COMPILE_FORBIDDEN_HELPER', `${helper.name} needs what the target does not allow`, {
          why: 'it makes a system call, and the target runs under a seccomp filter',
        });
      }
    }
    const write = (given: readonly Value[]) => helper.emit(b, boundArguments(b, helper, given, this.#handles), this);
    const template = this.#program.innerMaps.get(index);
    const place = helper.args.indexOf('map');
    try {
      if (template === undefined) return write(args);
      return emitForEach(b, args[place]!, innerMaps(this.#options.maps.values(), template), helper, (map) => {
        const handle = b.const(map.address);
        this.#handles.set(handle, map);
        return write(args.with(place, handle));
      });
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      throw this.#error(index, 'COMPILE_BAD_HELPER_CALL', `${helper.name}: ${error.message}`, { cause: error });
    }
  }

  #map(index: number, name: string): EmitMap {
    const map = this.#options.maps.get(name);
    if (map === undefined) throw this.#error(index, 'COMPILE_UNKNOWN_MAP', `map ${name} was not laid out`);
    return map;
  }

  #require(permission: Permission, index: number, what: string): void {
    if (!this.#options.forbid.has(permission)) return;
    throw this.#error(index, 'COMPILE_NOT_ALLOWED', `${what}, and ${permission} was not allowed`, {
      why: 'it changes what the target does',
      fix: `if that is meant to be: --allow ${permission}`,
    });
  }

  #error(index: number, code: CompileErrorCode, reason: string, options?: BpfErrorOptions): CompileError {
    const { name, insns } = this.#program;
    return new CompileError(code, `cannot compile program ${name}: insn ${insns[index]!.slot}: ${reason}`, options);
  }
}

const MAX_ARGUMENTS = 5;
/** What lddw loads for a function: no address, only a number of its own. */
const FIRST_FUNCTION = 1n << 62n;

/** What belongs to a run: the number of its slot, and the address of what its tail calls need. */
type Passed = 'slot' | 'run';

/** What a pointer was before numbers were added to it, and their sum. */
function baseOf(pointer: Value): [base: Value, moved: number] {
  const { operation, args } = pointer;
  const by = args[1]?.operation;
  if (operation.op !== 'binary' || operation.operator !== 'add' || by?.op !== 'const') return [pointer, 0];
  const [base, moved] = baseOf(args[0]!);
  return [base, moved + Number(BigInt.asIntN(64, by.value))];
}
