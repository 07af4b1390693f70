/** How a probe would be attached, without attaching it: the same plan, and the process only read. */
import { type DisassembledLine, disassemble } from '../../arch/x64/disassemble.ts';
import { Chain } from '../../inject/chain.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { AttachError } from '../errors.ts';
import { methodOf, planProbe, requireUntouched, type SitePlace, sitePlaceOf } from './plan.ts';
import { parseUprobe } from './private-data.ts';

/** A site, and what would become of it. */
export interface UprobeExplanation {
  /** 'libc.so.6:malloc', or 'libc.so.6:malloc+4' */
  readonly target: string;
  /** Path of the file it was mapped from. */
  readonly path: string;
  /** Of the instruction that is probed. */
  readonly address: bigint;
  /** In bytes from the function's first. */
  readonly offset: number;
  /** Of the function, in bytes; 0 if its symbol does not say. */
  readonly functionSize: number;
  /** What stands there now, in memory. */
  readonly code: readonly DisassembledLine[];
  /** Undefined if it would be refused. */
  readonly plan: (SitePlace & { readonly method: string }) | undefined;
  readonly refusal: AttachError | undefined;
}

/** Bytes shown where there is no plan. */
const SHOWN = 16;

/**
 * @param place `BINARY:FUNCTION[+OFFSET]`
 * @throws {AttachError} ATTACH_BAD_TARGET
 * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND, PROCESS_SYMBOL_NOT_FOUND, PROCESS_IFUNC_UNRESOLVED
 */
export function explainUprobe(process: TargetProcess, place: string): UprobeExplanation {
  const at = parseUprobe(place);
  const module = process.findModule(at.binary);
  const target = process.resolveFunction(module, at.symbol);
  const { offset } = at;
  const address = target.address + BigInt(offset);
  let plan: UprobeExplanation['plan'];
  let refusal: AttachError | undefined;
  try {
    const place = sitePlaceOf(target, process, planProbe({ target, offset }), () => true);
    requireUntouched(process, target, place, (address, original, found) => {
      return Chain.of(process, 0n)?.isOthers({ address, original }, found) ?? false;
    });
    plan = { ...place, method: methodOf(place) };
  } catch (error) {
    if (!(error instanceof AttachError)) throw error;
    refusal = error;
  }
  const start = plan !== undefined && plan.at < address ? plan.at : address;
  const shown = Math.min(SHOWN, Math.max(target.size - offset, 0) || SHOWN);
  const size = plan === undefined ? shown : Number(plan.at - start) + plan.window.length;
  return {
    target: `${module.name}:${at.symbol}${offset === 0 ? '' : `+${offset}`}`,
    path: module.path,
    address,
    offset,
    functionSize: target.size,
    code: disassemble(process.memory.readUpTo(start, size), start),
    plan,
    refusal,
  };
}
