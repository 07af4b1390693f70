/** A program's machine code for a place in no process, to be looked at. */
import type { MachineCode } from '../arch/arch.ts';
import { Assembler } from '../arch/x64/assembler.ts';
import { PtRegs, ptRegsAtEntry } from '../arch/x64/pt-regs.ts';
import { emitPrograms } from '../arch/x64/shared-saves.ts';
import { compileProgram } from '../compile/compile.ts';
import type { EmitMap, TargetFacts } from '../helpers/helper.ts';
import { PERMISSIONS } from '../helpers/prototype.ts';
import { HELPERS } from '../helpers/table.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { LinkedProgram } from '../object/spec.ts';
import type { VerifiedProgram } from '../verifier/check-structure.ts';
import { PROGRAM_KINDS } from '../verifier/program-kind.ts';
import { verify } from '../verifier/verify.ts';

/** Where the probed function would lie, code, the cells that some helpers keep, and the maps: near each other. */
const SITE = 0x5555_0000_0000n;
const CODE = 0x5555_1000_0000n;
const CELLS = 0x5555_1800_0000n;
const MAPS = 0x5555_2000_0000n;

const FACTS: TargetFacts = {
  clockGettime: SITE - 0x1000n,
  pidCell: CELLS,
  tidOffset: undefined,
  tickNs: 4_000_000n,
  randomState: CELLS + 8n,
  wakesConsumers: true,
  printkRing: CELLS + 64n,
};

/**
 * The code of a program as a probe at the entry of a function would have it: what it changes is saved around its body;
 * the functions it calls follow. Addresses are made up, the same ones every time. Hits are not counted.
 *
 * @throws {VerifierError | CompileError | HelperError | MapError}
 */
export function compileForListing(program: LinkedProgram, maps: readonly MapSpec[]): MachineCode {
  const verified = verifiedForListing(program, maps);
  const model = { struct: PtRegs, fields: ptRegsAtEntry(SITE), functionIp: { in: 'constant', value: SITE } } as const;
  const lowered = compileProgram(verified, model, {
    maps: placeMaps(maps),
    helpers: HELPERS,
    facts: FACTS,
    attachCookie: 0n,
    forbid: new Set(),
    nearAddress: CODE,
    features: { rdpid: true },
    preferred: [],
    result: undefined,
  });
  const a = new Assembler(CODE);
  emitPrograms(a, [{ program: lowered, above: 0 }]);
  a.ret();
  lowered.emitFunctions(a);
  return a.machineCode();
}

/** The program as a probe of a function; it may change what it likes. @throws {VerifierError} */
export function verifiedForListing(program: LinkedProgram, maps: readonly MapSpec[]): VerifiedProgram {
  const verdict = verify(program, {
    kind: PROGRAM_KINDS.uprobe,
    helpers: HELPERS,
    maps: new Map(maps.map((map) => [map.name, map])),
    btf: undefined,
    allow: new Set(PERMISSIONS),
  });
  if (verdict.verdict === 'reject') throw verdict.error;
  return verdict.program;
}

/** Gives each map an address, one behind the other. */
function placeMaps(specs: readonly MapSpec[]): Map<string, EmitMap> {
  let address = MAPS;
  const placed = new Map<string, EmitMap>();
  for (const spec of specs) {
    placed.set(spec.name, { spec, address });
    address += BigInt(mapTypeOf(spec).size(spec));
  }
  return placed;
}
