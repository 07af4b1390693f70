/** How a probe would be attached, without attaching it: the same plan, and the process only read. */
import { type DisassembledLine, disassemble } from '../../arch/x64/disassemble.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { AttachError } from '../errors.ts';
import { planSite, type SitePlan } from './plan.ts';
import { parseUprobe } from './private-data.ts';

/** A site, and what would become of it. */
export interface UprobeExplanation {
  /** 'libc.so.6:malloc' */
  readonly target: string;
  /** Path of the file it was mapped from. */
  readonly path: string;
  readonly address: bigint;
  /** Of the function, in bytes; 0 if its symbol does not say. */
  readonly functionSize: number;
  /** What stands at the entry now, in memory. */
  readonly code: readonly DisassembledLine[];
  /** Undefined if it would be refused. */
  readonly plan: SitePlan | undefined;
  readonly refusal: AttachError | undefined;
}

/** Bytes shown where there is no plan. */
const SHOWN = 16;

/**
 * @param place `BINARY:FUNCTION`
 * @throws {AttachError} ATTACH_BAD_TARGET
 * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND, PROCESS_SYMBOL_NOT_FOUND, PROCESS_IFUNC_UNRESOLVED
 */
export function explainUprobe(process: TargetProcess, place: string): UprobeExplanation {
  const at = parseUprobe(place);
  const module = process.findModule(at.binary);
  const target = process.resolveFunction(module, at.symbol);
  const { address, size } = target;
  let plan: SitePlan | undefined;
  let refusal: AttachError | undefined;
  try {
    plan = planSite(process, target, at.offset);
  } catch (error) {
    if (!(error instanceof AttachError)) throw error;
    refusal = error;
  }
  const end = plan === undefined ? undefined : Number(plan.at - address) + plan.window.length;
  const bytes = process.memory.readUpTo(address, end ?? Math.min(size || SHOWN, SHOWN));
  return {
    target: `${module.name}:${at.symbol}`,
    path: module.path,
    address,
    functionSize: size,
    code: disassemble(bytes, address),
    plan,
    refusal,
  };
}
