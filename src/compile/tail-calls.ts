/**
 * Tail calls as machine code: a program that makes one notes the next program's number and returns, and whoever called it has that
 * go on. So each program is a function, there is one at a time on the stack, and what is no program's number ends the run.
 *
 *     run, on the stack of the first:  | next program | calls made | context | slot | function's ip |
 */
import { struct } from '../bytes/struct.ts';
import { MAX_TAIL_CALLS } from '../helpers/tail-call.ts';
import { Builder } from '../ir/builder.ts';
import type { IrFunction, SiteSource, Value } from '../ir/value.ts';
import type { ProgramEntry } from './program.ts';
import type { Entry } from './translate.ts';

/** What programs that follow each other share. */
const Run = struct('tail_run', 40, { next: 'u64', calls: 'u64', context: 'u64', slot: 'u64', functionIp: 'u64' });
const { next, calls, context, slot, functionIp } = Run.offsetOf;

/** A program that may go on, as a function of the run's address. */
export interface CompiledCallee {
  readonly number: number;
  readonly fn: IrFunction;
}

/**
 * The way a program begins and ends that makes tail calls: those that it leads to go on before the end.
 *
 * @param follow what has them go on; 'follows' if the program is one of them
 * @param keep is given the address of the run
 */
export function withRun(
  entry: ProgramEntry,
  follow: IrFunction | 'follows',
  keep: (b: Builder, run: Value) => void,
): Entry {
  let run: Value | undefined;
  const begin = (b: Builder): readonly Value[] => {
    const args = entry.emit(b);
    run = entry.run ?? beginRun(b, entry, args[0]!);
    keep(b, run);
    return args;
  };
  const { paramCount } = entry;
  if (follow === 'follows') return { paramCount, emit: begin };
  const leave = (b: Builder, r0: Value): Value => {
    const last = goOn(b, run!, r0, follow);
    return entry.leave?.(b, last) ?? last;
  };
  return { paramCount, emit: begin, leave };
}

/** Writes what a run begins with; the result is its address. @param site the program that begins it, whose context is there */
function beginRun(b: Builder, site: ProgramEntry, address: Value): Value {
  const run = b.stack(Run.size);
  b.store(8, run, next, 0);
  b.store(8, run, calls, 0);
  b.store(8, run, context, address);
  b.store(8, run, slot, site.slot ?? 0);
  if (site.functionIp.in !== 'constant') b.store(8, run, functionIp, b.site(site.functionIp));
  return run;
}

/** Notes which program is next, and goes where `leave` goes; falls through if the run has had its tail calls. */
export function noteNext(b: Builder, run: Value, number: Value, leave: () => void): void {
  const made = b.load(8, run, calls);
  b.when(b.compare('ult', made, MAX_TAIL_CALLS), () => {
    b.store(8, run, calls, b.add(made, 1));
    b.store(8, run, next, number);
    leave();
  });
}

/** Has the next program go on if there is one, and all that follow it: the result is what the last returned. */
export function goOn(b: Builder, run: Value, r0: Value, follow: IrFunction): Value {
  return b.choose(
    b.load(8, run, next),
    () => b.call(follow, [run]),
    () => r0,
  );
}

/** The function that runs programs one after the other, as long as there is a next one. @param callees by ascending number */
export function followFunction(callees: readonly CompiledCallee[]): IrFunction {
  return Builder.function('tail_calls', 1, (b, [run]) => {
    const [result] = b.loop([b.load(8, run!, next)], 1, (loop, [number]) => {
      b.store(8, run!, next, 0);
      const r0 = emitDispatch(b, number!, callees, run!);
      const following = b.load(8, run!, next);
      b.when(b.compare('eq', following, 0), () => loop.leave(r0));
      loop.next(following);
    });
    b.return(result!);
  });
}

/** Halves what it may be until one is left: the target may have written any number. */
function emitDispatch(b: Builder, number: Value, callees: readonly CompiledCallee[], run: Value): Value {
  const [first] = callees;
  if (first === undefined) return b.const(0);
  if (callees.length === 1) {
    return b.choose(
      b.compare('eq', number, first.number),
      () => b.call(first.fn, [run]),
      () => 0,
    );
  }
  const middle = callees.length >> 1;
  return b.choose(
    b.compare('ult', number, callees[middle]!.number),
    () => emitDispatch(b, number, callees.slice(0, middle), run),
    () => emitDispatch(b, number, callees.slice(middle), run),
  );
}

/** How a program begins that goes on: its context is the first one's. */
export class CalleeEntry implements ProgramEntry {
  readonly paramCount = 1;
  readonly #site: ProgramEntry;
  #own: { readonly fn: IrFunction; readonly run: Value; readonly context: Value; readonly slot: Value } | undefined;

  constructor(site: ProgramEntry) {
    this.#site = site;
  }

  get functionIp(): SiteSource {
    return this.#site.functionIp;
  }

  get call(): ProgramEntry['call'] {
    return this.#site.call;
  }

  emit(b: Builder): readonly Value[] {
    const [run] = b.params();
    this.#own = { fn: b.fn, run: run!, context: b.load(8, run!, context), slot: b.load(8, run!, slot) };
    return [this.#own.context];
  }

  /** The address of the run. */
  get run(): Value {
    return this.#own!.run;
  }

  get slot(): Value {
    return this.#own!.slot;
  }

  emitFunctionIp(b: Builder): Value {
    const { functionIp: source } = this.#site;
    return source.in === 'constant' ? b.site(source) : b.load(8, this.run, functionIp);
  }

  contextIn(fn: IrFunction): Value | undefined {
    return this.#own?.fn === fn ? this.#own.context : undefined;
  }

  write: ProgramEntry['write'] = (offset, size) => this.#site.write(offset, size);

  get whyReadOnly(): string | undefined {
    return this.#site.whyReadOnly;
  }

  checkContext: ProgramEntry['checkContext'] = (program) => this.#site.checkContext(program);
}
