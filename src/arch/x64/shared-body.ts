/**
 * One copy of a program for many sites: each trampoline calls it, so that ten thousand sites take a few bytes each and the
 * program stays in the cache. What it needs to know of its site it finds on the stack:
 *
 *     rsp of the site
 *             what the trampoline has below it: nothing at an entry, the caller's return address behind a return
 *       -8    the address of the site       pushed by the trampoline
 *       -16   the return address            into the trampoline
 *             what the body changes, saved
 *             the body's frame
 */
import type { SiteSource } from '../../ir/value.ts';
import { Assembler } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import { absolute, at } from './memory.ts';
import { Reg } from './registers.ts';

const WORD = 8;

/** Where programs of a shared body run. */
export interface SharedPlace {
  /** From rsp up to what the site's is, as the trampoline has it: 0 or 8. */
  readonly above: number;
}

/** At the entry of a function, or behind its return. */
export const SHARED_ENTRY: SharedPlace = { above: 0 };
export const SHARED_RETURN: SharedPlace = { above: WORD };

/** Where a program that is compiled for a shared body finds the address of the site it runs at. */
export function sharedSiteAddress({ above }: SharedPlace): SiteSource {
  return { in: 'stack', offset: -WORD - above };
}

/** A body laid into the target, and behind it a table of the sites it serves. */
export interface SharedBody extends SharedPlace {
  readonly entry: bigint;
  /** Address of the first of a u64 for each site. */
  readonly table: bigint;
  /** What the body takes of the stack, from where the trampoline has it down. */
  readonly stackBytes: number;
}

/** Writes a program that was compiled for the `sharedSiteAddress` of `place`, and the table of its sites. */
export function emitSharedBody(program: LoweredProgram, sites: readonly bigint[], origin: bigint, place: SharedPlace) {
  const a = new Assembler(origin);
  const saved: readonly Reg[] = [...program.clobbered];
  for (const reg of saved) a.push(reg);
  program.emitBody(a, { siteStack: place.above + (2 + saved.length) * WORD, saved });
  for (const reg of saved.toReversed()) a.pop(reg);
  a.ret();
  program.emitFunctions(a);
  const code = a.finish();
  const tableOffset = Math.ceil(code.length / WORD) * WORD;
  const bytes = new Uint8Array(tableOffset + sites.length * WORD);
  bytes.set(code);
  new BigUint64Array(bytes.buffer, tableOffset).set(sites);
  const stackBytes = program.stackBytes + (2 + saved.length) * WORD;
  const body: SharedBody = { ...place, entry: origin, table: origin + BigInt(tableOffset), stackBytes };
  return { bytes, body };
}

/** The program of one site: a call to the shared body. */
export function callSharedBody({ above, entry, table, stackBytes }: SharedBody, index: number): LoweredProgram {
  return {
    clobbered: NOTHING,
    changes: NOTHING,
    reads: NOTHING,
    stackBytes,
    result: undefined,
    emitBody(a, { siteStack }) {
      if (siteStack !== above)
        throw new TypeError(`a shared body is called ${above} below the site's rsp, not ${siteStack}`);
      a.push(absolute(table + BigInt(index * WORD)));
      a.callTo(entry);
      a.lea(Reg.RSP, at(Reg.RSP, WORD));
    },
    emitFunctions() {},
  };
}

const NOTHING: ReadonlySet<Reg> = new Set();
