/**
 * One copy of a program for many sites: each trampoline calls it, so that ten thousand sites take a few bytes each and the
 * program stays in the cache. What it needs to know of its site it finds on the stack:
 *
 *     rsp of the site
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

/** Where a program that is compiled for a shared body finds the address of the site it runs at. */
export const SHARED_SITE_ADDRESS: SiteSource = { in: 'stack', offset: -WORD };

/** A body laid into the target, and behind it a table of the sites it serves. */
export interface SharedBody {
  readonly entry: bigint;
  /** Address of the first of a u64 for each site. */
  readonly table: bigint;
  /** What the body takes of the stack, from the site's rsp down. */
  readonly stackBytes: number;
}

/** Writes a program that was compiled for SHARED_SITE_ADDRESS, and the table of its sites. */
export function emitSharedBody(program: LoweredProgram, sites: readonly bigint[], origin: bigint) {
  const a = new Assembler(origin);
  const saved: readonly Reg[] = [...program.clobbered];
  for (const reg of saved) a.push(reg);
  program.emitBody(a, { siteStack: (2 + saved.length) * WORD, saved });
  for (const reg of saved.toReversed()) a.pop(reg);
  a.ret();
  program.emitFunctions(a);
  const code = a.finish();
  const tableOffset = Math.ceil(code.length / WORD) * WORD;
  const bytes = new Uint8Array(tableOffset + sites.length * WORD);
  bytes.set(code);
  new BigUint64Array(bytes.buffer, tableOffset).set(sites);
  const stackBytes = program.stackBytes + (2 + saved.length) * WORD;
  const body: SharedBody = { entry: origin, table: origin + BigInt(tableOffset), stackBytes };
  return { bytes, body };
}

/** The program of one site: a call to the shared body. Control must enter with the site's own rsp. */
export function callSharedBody({ entry, table, stackBytes }: SharedBody, index: number): LoweredProgram {
  return {
    clobbered: NOTHING,
    reads: NOTHING,
    stackBytes,
    result: undefined,
    emitBody(a, { siteStack }) {
      if (siteStack !== 0) throw new TypeError('a shared body is called with the stack pointer as the site has it');
      a.push(absolute(table + BigInt(index * WORD)));
      a.callTo(entry);
      a.lea(Reg.RSP, at(Reg.RSP, WORD));
    },
    emitFunctions() {},
  };
}

const NOTHING: ReadonlySet<Reg> = new Set();
