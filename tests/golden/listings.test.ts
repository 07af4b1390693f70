/**
 * What compilation makes of the programs in tests/objects: the optimised IR, and the machine code under the bytecode
 * under the source. `npm run bless` writes the files anew; look at what changed.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PtRegs, ptRegsAtEntry } from '../../src/arch/x64/pt-regs.ts';
import type { ContextModel } from '../../src/compile/context-model.ts';
import { compileForSite } from '../../src/compile/to-ir.ts';
import type { EmitMap } from '../../src/helpers/helper.ts';
import { HELPERS } from '../../src/helpers/table.ts';
import { callsOf } from '../../src/ir/passes/inline.ts';
import { printFunction } from '../../src/ir/print.ts';
import type { IrFunction } from '../../src/ir/value.ts';
import { mapTypeOf } from '../../src/maps/table.ts';
import { readObject } from '../../src/object/read-object.ts';
import { verifiedForListing } from '../../src/runtime/code-listing.ts';
import { remora } from '../support/cli.ts';
import { bareOptions } from '../support/compiling.ts';
import { ROOT } from '../support/root.ts';

const PROGRAMS = [
  ['clang-19/count', 'on_call', 'an array lookup and a locked add are one instruction'],
  ['clang-14/count', 'on_call', 'whatever clang made of it'],
  ['clang-19/plain-count', 'on_call', 'a lookup by an argument is an index'],
  ['clang-19/hash', 'on_call', 'the first look into a hash is inline'],
  ['clang-19/calls', 'first', 'small functions are where they are called'],
  ['clang-19/data', 'on_call', 'variables are addresses'],
  ['clang-19/user-ring', 'on_visit', 'what a drain calls is in its loop'],
] as const;

const SITE = 0x5555_0000_0000n;
const MODEL: ContextModel = {
  struct: PtRegs,
  fields: ptRegsAtEntry(SITE),
  functionIp: { in: 'constant', value: SITE },
};

function irOf(file: string, name: string): string {
  const object = readObject(new Uint8Array(readFileSync(file)));
  const maps = new Map<string, EmitMap>();
  let address = 0x5555_2000_0000n;
  for (const spec of object.maps) {
    maps.set(spec.name, { spec, address });
    address += BigInt(mapTypeOf(spec).size(spec));
  }
  const program = object.programs.find((candidate) => candidate.name === name);
  assert.ok(program, `${file} has no program ${name}`);
  const verified = verifiedForListing(program, object.maps);
  const main = compileForSite(verified, MODEL, { ...bareOptions(HELPERS), maps });
  return [...functionsOf(main)].map(printFunction).join('\n');
}

/** A function and all it calls, each once. */
function functionsOf(fn: IrFunction, found = new Set<IrFunction>()): Set<IrFunction> {
  if (!found.has(fn)) {
    found.add(fn);
    for (const { callee } of callsOf(fn)) functionsOf(callee, found);
  }
  return found;
}

describe('listings', () => {
  for (const [object, program, why] of PROGRAMS) {
    it(`of ${object} ${program} are as they were: ${why}`, async () => {
      const file = join(ROOT, 'tests/objects', `${object}.bpf.o`);
      const golden = join(ROOT, 'tests/golden', `${object.replace('/', '-')}.${program}.txt`);
      const { stdout } = await remora(['disasm', '--native', file, program]);
      const actual = `${irOf(file, program)}\n${stdout.trimEnd()}\n`;
      if (process.env.BLESS === '1') writeFileSync(golden, actual);
      assert.equal(actual, readFileSync(golden, 'utf8'));
    });
  }
});
