/**
 * How a place would be probed: decided by its file alone, and by what stands there in memory still being that. Attaching
 * does what this says, and explaining shows it.
 */
import { SHORT_JUMP_SIZE, shortJump, shortJumpTarget } from '../../arch/x64/short-jump.ts';
import { findWindow, JUMP_SIZE, type Window, type WindowRefusal } from '../../arch/x64/window.ts';
import type { ElfFile } from '../../elf/elf-file.ts';
import { isFragment } from '../../elf/functions.ts';
import { codeMapOf } from '../../process/module-code.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { AttachError, type AttachErrorCode } from '../errors.ts';

/** Where a probe is to be. */
export interface ProbePlace {
  readonly target: ResolvedFunction;
  /** In bytes from the function's first. */
  readonly offset: number;
}

/** The instructions that would give way to a jump, and the one that is probed. */
export interface ProbePlan {
  readonly window: Window;
  /** Address of the instruction in front of which the program runs: behind an endbr64. */
  readonly at: bigint;
  /** 'entry' where flags and what lies below the stack pointer are nobody's; only there can a return be probed. */
  readonly where: 'entry' | 'inside';
}

/** Where a site lies and what stands there. */
export interface SitePlace {
  /** What to call it in messages. */
  readonly name: string;
  /** Address of the window's first byte. */
  readonly at: bigint;
  /** The window's original bytes: whole instructions, which move to the trampoline. */
  readonly window: Uint8Array;
  /** Padding that a short jump leads to, where five bytes were not to be had. */
  readonly island: { readonly at: bigint; readonly original: Uint8Array } | undefined;
  /** The file that it was planned from. */
  readonly elf: ElfFile;
}

const REFUSAL_CODES: Readonly<Record<WindowRefusal['reason'], AttachErrorCode>> = {
  'too short': 'ATTACH_SITE_TOO_SHORT',
  'branch into it': 'ATTACH_SITE_BRANCH',
  'cannot be moved': 'ATTACH_SITE_INSTRUCTION',
  'does not decode': 'ATTACH_SITE_UNREADABLE',
  'not in the function': 'ATTACH_SITE_OUTSIDE',
  'not an instruction': 'ATTACH_SITE_BOUNDARY',
};

/** @throws {AttachError} ATTACH_SITE_* if no jump can be laid there */
export function planProbe({ target, offset }: ProbePlace): ProbePlan {
  const { module, address, size } = target;
  if (module.isSharedAt(address)) {
    throw new AttachError(
      'ATTACH_SITE_SHARED',
      `cannot attach to ${nameOf(target, offset)}: its code is mapped shared`,
      {
        why: `a change would be one of ${module.path}, and of every process that has mapped it`,
        fix: 'attach to who calls it',
      },
    );
  }
  const start = Number(address - module.bias);
  const window = findWindow(codeMapOf(module.elf), start + offset, { start, end: start + size });
  if ('reason' in window) {
    const place = nameOf(target, offset);
    throw new AttachError(REFUSAL_CODES[window.reason], `cannot attach to ${place}: ${window.detail}`, {
      why: 'its instructions cannot give way to a jump',
      fix: 'probe another instruction of it, a function that it calls, or one that calls it',
    });
  }
  // Only what a symbol calls a function, with a size, keeps to the convention; hand-written code may not even then.
  const isEntry = offset === 0 && size > 0 && !window.readsFlags && !isFragment(target.name);
  const where = isEntry ? 'entry' : 'inside';
  return { window, at: address + BigInt(offset + window.skip), where };
}

/**
 * Where the jump of a plan lies: by way of the padding that another session goes by, where one does.
 *
 * @param isFree says whether the padding at an address is no other site's
 * @throws {AttachError} ATTACH_SITE_TOO_SHORT
 */
export function sitePlaceOf(
  target: ResolvedFunction,
  { memory }: TargetProcess,
  { at, window: { lead, length, islands } }: ProbePlan,
  isFree: (island: bigint) => boolean,
): SitePlace {
  const { module, address } = target;
  const bytesAt = (from: bigint, size: number): Uint8Array => module.elf.bytesAt(from - module.bias, size);
  const name = nameOf(target, Number(at - address));
  const start = at - BigInt(lead);
  const place = { name, at: start, window: bytesAt(start, length), elf: module.elf };
  if (islands === undefined) return { ...place, island: undefined };
  const free = islands.map((island) => BigInt(island) + module.bias).filter(isFree);
  const taken = shortJumpTarget(start, memory.readUpTo(start, SHORT_JUMP_SIZE));
  const isAsFile = (one: bigint): boolean =>
    Buffer.compare(memory.readUpTo(one, JUMP_SIZE), bytesAt(one, JUMP_SIZE)) === 0;
  const island = free.find((one) => one === taken) ?? free.find(isAsFile) ?? free[0];
  if (island === undefined) {
    throw new AttachError('ATTACH_SITE_TOO_SHORT', `cannot attach to ${name}: other probes took the padding near it`);
  }
  return { ...place, island: { at: island, original: bytesAt(island, JUMP_SIZE) } };
}

/**
 * Whoever patched the place first would have its patch taken for the original, unless it is known what stood there before.
 *
 * @param isKnown says of the bytes at an address that they are the jump of another session, over these original ones; two
 *   sessions must go by way of the same padding
 * @throws {AttachError} ATTACH_SITE_PATCHED
 */
export function requireUntouched(
  { memory }: TargetProcess,
  { module }: ResolvedFunction,
  { name, at, window, island }: SitePlace,
  isKnown: (at: bigint, original: Uint8Array, found: Uint8Array) => boolean,
): void {
  const way = island && shortJump(at, island.at);
  const isWay = way === undefined || Buffer.compare(memory.readUpTo(at, way.length), way) === 0;
  const isTheirs = (...seen: Parameters<typeof isKnown>): boolean => isWay && isKnown(...seen);
  const jumpSize = island === undefined ? JUMP_SIZE : SHORT_JUMP_SIZE;
  for (const [address, file, size] of [
    [at, window, jumpSize] as const,
    ...(island ? [[island.at, island.original, JUMP_SIZE] as const] : []),
  ]) {
    const found = memory.readUpTo(address, file.length);
    const changed = file.findIndex((byte, index) => byte !== found[index]);
    if (changed < 0) continue;
    const [original, jump] = [file, found].map((bytes) => bytes.subarray(0, size)) as [Uint8Array, Uint8Array];
    const isAsFileBehind = Buffer.compare(file.subarray(size), found.subarray(size)) === 0;
    if (isAsFileBehind && isTheirs(address, original, jump)) continue;
    throw new AttachError(
      'ATTACH_SITE_PATCHED',
      `cannot attach to ${name}: its byte ${changed} is not what the file has`,
      {
        why: `the code in memory differs from ${module.path}: a debugger or another tracer has patched it, or another remora in a way that cannot be shared`,
        fix: 'take the other probe off first',
      },
    );
  }
}

/** How threads come from a site to the programs. */
export function methodOf({ island }: SitePlace): 'jump' | 'short jump' {
  return island === undefined ? 'jump' : 'short jump';
}

function nameOf({ name }: ResolvedFunction, offset: number): string {
  return offset === 0 ? name : `${name}+${offset}`;
}
