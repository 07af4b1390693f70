/** The return stack of one target, from outside: its memory, its routines, and the hooks of functions that use it. */
import { Assembler } from '../../arch/x64/assembler.ts';
import { copyFor, emitSysVFunction, type LoweredProgram, lower } from '../../arch/x64/lower.ts';
import { Reg } from '../../arch/x64/registers.ts';
import { savedAnyway } from '../../arch/x64/shared-saves.ts';
import { alignUp } from '../../bytes/align.ts';
import { viewOf } from '../../bytes/struct.ts';
import { BpfError } from '../../errors.ts';
import type { Injection } from '../../inject/injection.ts';
import type { IrFunction } from '../../ir/value.ts';
import { type AddressRange, isInside } from '../../process/stack-scan.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { GLIBC_TID_OFFSET, keepsThreadPointer } from '../../process/thread-pointer.ts';
import { AttachError } from '../errors.ts';
import {
  callRestore,
  Entry,
  HOLE,
  Hook,
  LAST_ENTRY,
  NOTES_SIZE,
  PAGE,
  popCode,
  pushCode,
  type ReturnStackPlace,
  ROWS,
  Row,
  type RowsPlace,
  type RowTaking,
  restoreCode,
  slowPopCode,
  slowPushCode,
} from './return-code.ts';
import { refuseWithoutThreadPointers } from './return-refusals.ts';
import { takeRowCode, vouchCode } from './return-rows.ts';

/** The index of rows: their count, and an address for each. */
const INDEX_SIZE = 8 * (1 + ROWS);
/** Rows lie behind the index and the notes. */
const ROWS_OFFSET = alignUp(INDEX_SIZE + NOTES_SIZE, PAGE);
const SIZE = ROWS_OFFSET + ROWS * PAGE;
/** Of a session's own hooks. */
const HOOKS_SIZE = 2 * 1024 * 1024;

/** How far above its stack pointer the slot is that a thread in our code is at work with: more than programs and routines have there. */
const AT_WORK = 8192n;

/** Functions in so many bytes share the code of their hooks: what one of them reaches so do the others. */
const SAME_CODE = 16n * 1024n * 1024n;

/** What a hook runs at the entry and at the return. */
interface HookEnds {
  readonly push: LoweredProgram;
  readonly pop: LoweredProgram;
}

/** One function's use of the return stack. */
export interface ReturnHookCode extends HookEnds {
  /** Says what the function returns to; before any thread calls it. */
  setLabel(back: bigint): void;
}

/** The programs next to a hook's two ends. */
export interface ProgramsBeside {
  readonly push: readonly LoweredProgram[];
  readonly pop: readonly LoweredProgram[];
}

/** An entry of the return stack. */
interface PendingReturn {
  readonly address: bigint;
  /** Where the return address belongs, and what stands there meanwhile. */
  readonly slot: bigint;
  readonly label: bigint;
  returnAddress: bigint;
}

export class ReturnStack {
  readonly #injection: Injection;
  readonly #place: ReturnStackPlace;
  readonly #restore: bigint;
  #hooksEnd: bigint;
  readonly #hooksLimit: bigint;
  /** By what was asked for: hooks of thousands of functions have the same code. */
  readonly #ends = new Map<string, HookEnds>();

  /**
   * @param name of the function whose return is to be probed first
   * @throws {AttachError} ATTACH_RETURN_REFUSED where threads cannot be told apart
   * @throws {InjectError}
   */
  constructor(injection: Injection, name: string) {
    if (!keepsThreadPointer(injection.process.facts, injection.sampleThread)) refuseWithoutThreadPointers(name);
    this.#injection = injection;
    const index = injection.shareInherited(SIZE, (code, stackPointers) =>
      releaseReturns(injection.process, index, code, stackPointers),
    );
    const place = { index, rows: index + BigInt(ROWS_OFFSET), taken: index + BigInt(INDEX_SIZE) };
    this.#hooksEnd = injection.mapInherited(HOOKS_SIZE);
    this.#hooksLimit = this.#hooksEnd + BigInt(HOOKS_SIZE);
    // A target under seccomp makes no system call of ours: there a stack that is gone is not told from one that is there.
    const reading = injection.process.facts.seccomp === 'none' ? 'checked' : 'direct';
    this.#place = {
      ...place,
      slowPush: this.#layRoutine(
        index,
        slowPushCode(place, reading === 'checked' ? this.#layTaking(place) : undefined),
      ),
      slowPop: this.#layRoutine(index, slowPopCode(place)),
    };
    this.#restore = this.#layRoutine(index, restoreCode(place, reading));
  }

  /**
   * Makes a hook for a function near `near`.
   *
   * @param missedCells stepped whenever a return is missed
   * @param beside the programs that run in front of `push` and behind `pop`, whose saves it may share
   */
  hook(near: bigint, missedCells: readonly bigint[], beside: ProgramsBeside): ReturnHookCode {
    const address = this.#hooksEnd;
    this.#hooksEnd += BigInt(Hook.cells + 8 * missedCells.length);
    if (this.#hooksEnd > this.#hooksLimit) {
      throw new AttachError('ATTACH_RETURN_REFUSED', 'cannot probe one more return: the memory for hooks is full');
    }
    const { memory } = this.#injection.process;
    const { push, pop } = this.#endsFor(near, savedAnyway(beside.push), savedAnyway(beside.pop));
    return {
      push: copyFor(push, address),
      pop,
      setLabel(back) {
        const words = BigUint64Array.of(back, BigInt(missedCells.length), ...missedCells);
        memory.write(address, new Uint8Array(words.buffer));
      },
    };
  }

  /** @param free registers that each end may change at no cost */
  #endsFor(near: bigint, ...free: readonly [push: readonly Reg[], pop: readonly Reg[]]): HookEnds {
    const key = `${near / SAME_CODE} ${free.join(' ')}`;
    let ends = this.#ends.get(key);
    if (ends === undefined) {
      const [push, pop] = free.map((preferred) => ({ nearAddress: near, preferred }));
      ends = {
        push: lower(pushCode(this.#place), { ...push!, result: Reg.RAX }),
        pop: lower(popCode(this.#place), pop!),
      };
      this.#ends.set(key, ends);
    }
    return ends;
  }

  /** A program for the entry of an unwinder near `near`: it finds the stack as it would be without us. */
  restoring(near: bigint): LoweredProgram {
    return lower(callRestore(this.#restore), { nearAddress: near });
  }

  #layTaking(place: RowsPlace): RowTaking {
    const idOffset = this.#injection.process.facts.libc === 'glibc' ? GLIBC_TID_OFFSET : undefined;
    return {
      takeRow: this.#layRoutine(place.index, takeRowCode(place, idOffset)),
      vouch: idOffset === undefined ? undefined : this.#layRoutine(place.index, vouchCode(idOffset)),
    };
  }

  #layRoutine(near: bigint, fn: IrFunction): bigint {
    const { origin } = this.#injection.layCode(near, (address) => {
      const a = new Assembler(address);
      emitSysVFunction(a, fn);
      return { bytes: a.finish(), result: undefined };
    });
    return origin;
  }
}

/**
 * Puts the return addresses back that code in `ranges` has put onto a return stack: functions that are still running return without it.
 * What code of other sessions put there stays; where that is to return to what goes, it is to return to where that would have.
 *
 * @param index where it begins; nobody in `ranges` may be using it
 * @param stackPointers of threads that may be at work in other code that uses it
 * @returns false if one of them may have one of these return addresses in its hands; nothing is changed then
 */
export function releaseReturns(
  { memory }: Pick<TargetProcess, 'memory'>,
  index: bigint,
  ranges: readonly AddressRange[],
  stackPointers: readonly bigint[],
): boolean {
  const pending = pendingReturns(memory, index);
  const isHeld = ({ slot, label }: PendingReturn): boolean =>
    stackPointers.some((at) => slot >= at - 8n && slot < at + AT_WORK) && isInside(ranges, label);
  if (pending.some(isHeld)) return false;
  const bySlot = new Map<bigint, PendingReturn[]>();
  for (const entry of pending) bySlot.set(entry.slot, [...(bySlot.get(entry.slot) ?? []), entry]);
  for (const { address, slot, label, returnAddress } of pending) {
    if (!isInside(ranges, label)) continue;
    if (wordAt(memory, slot) === label) memory.write(slot, word(returnAddress));
    for (const above of bySlot.get(slot)!) {
      if (above.returnAddress !== label) continue;
      above.returnAddress = returnAddress;
      memory.write(above.address + BigInt(Entry.returnAddress), word(returnAddress));
    }
    memory.write(address + BigInt(Entry.slot), word(BigInt(HOLE)));
  }
  return true;
}

/** Entries whose slot is known, the newest of each thread first; what the target wrote there is not to be trusted. */
function pendingReturns(memory: TargetProcess['memory'], index: bigint): readonly PendingReturn[] {
  const rows = index + BigInt(ROWS_OFFSET);
  const known = viewOf(memory.read(index, INDEX_SIZE));
  const count = Math.min(ROWS, Number(known.getBigUint64(0, true)));
  const pending: PendingReturn[] = [];
  for (let n = 1; n <= count; n++) {
    const row = known.getBigUint64(8 * n, true);
    if (row < rows || row >= rows + BigInt(ROWS * PAGE)) continue;
    const view = viewOf(memory.read(row, PAGE));
    for (let at: number = LAST_ENTRY; at >= Row.entries; at -= Entry.size) {
      const slot = view.getBigUint64(at + Entry.slot, true);
      if (slot <= BigInt(HOLE)) continue;
      const label = wordAt(memory, view.getBigUint64(at + Entry.hook, true) + BigInt(Hook.label));
      if (label === undefined) continue;
      const returnAddress = view.getBigUint64(at + Entry.returnAddress, true);
      pending.push({ address: row + BigInt(at), slot, label, returnAddress });
    }
  }
  return pending;
}

function word(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

function wordAt(memory: TargetProcess['memory'], address: bigint): bigint | undefined {
  try {
    return viewOf(memory.read(address, 8)).getBigUint64(0, true);
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
