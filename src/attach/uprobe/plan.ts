/**
 * How a function would be probed: decided by its bytes alone, in memory and in its file. Attaching does what this says, and
 * explaining shows it.
 */
import { findWindow, JUMP_SIZE, type Window, type WindowRefusal } from '../../arch/x64/window.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { AttachError, type AttachErrorCode } from '../errors.ts';

/** Where the jump goes. */
export interface SitePlan {
  readonly method: 'jump';
  /** Address of the window's first byte. */
  readonly at: bigint;
  /** Its original bytes: whole instructions, which move to the trampoline. */
  readonly window: Uint8Array;
}

/** An endbr64, four bytes of instructions, and the longest one there is. */
const LONGEST_WINDOW = 4 + 4 + 15;
/** Bytes behind a function that may be padding of it. */
const PADDING = 16;

const REFUSAL_CODES: Readonly<Record<WindowRefusal['reason'], AttachErrorCode>> = {
  'too short': 'ATTACH_SITE_TOO_SHORT',
  'branch into it': 'ATTACH_SITE_BRANCH',
  'cannot be moved': 'ATTACH_SITE_INSTRUCTION',
  'does not decode': 'ATTACH_SITE_UNREADABLE',
};

/**
 * Plans a probe in a function. Only reads.
 *
 * @param offset in bytes from the function's first
 * @throws {AttachError} ATTACH_SITE_*, ATTACH_OFFSET_UNSUPPORTED
 */
export function planSite({ memory }: TargetProcess, target: ResolvedFunction, offset: number): SitePlan {
  const { name, address, size } = target;
  if (offset !== 0) {
    throw new AttachError(
      'ATTACH_OFFSET_UNSUPPORTED',
      `cannot attach to ${name}+${offset}: an offset inside a function`,
      {
        fix: 'probe the entry of the function',
      },
    );
  }
  const code = memory.readUpTo(address, size + PADDING);
  requireUntouched(target, code.subarray(0, Math.min(size, LONGEST_WINDOW)));
  const window = findWindow(code, address, size);
  if (isRefusal(window)) {
    throw new AttachError(REFUSAL_CODES[window.reason], `cannot attach to ${name}: ${window.detail}`, {
      why: `its first bytes cannot give way to a ${JUMP_SIZE}-byte jump`,
      fix: 'probe a function that it calls, or one that calls it',
    });
  }
  const { skip, length } = window;
  return { method: 'jump', at: address + BigInt(skip), window: code.slice(skip, skip + length) };
}

/** Whoever patched the function first would have its patch taken for the original. */
function requireUntouched({ name, module, address }: ResolvedFunction, code: Uint8Array): void {
  const file = module.elf.bytesAt(address - module.bias, code.length);
  const changed = code.findIndex((byte, index) => byte !== file[index]);
  if (changed < 0) return;
  throw new AttachError(
    'ATTACH_SITE_PATCHED',
    `cannot attach to ${name}: its byte ${changed} is not what the file has`,
    {
      why: `the code in memory differs from ${module.path}: a debugger, another tracer or another remora has patched it`,
      fix: 'take the other probe off first',
    },
  );
}

function isRefusal(found: Window | WindowRefusal): found is WindowRefusal {
  return 'reason' in found;
}
