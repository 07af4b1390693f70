/**
 * What the verifier believes, against what happens: the states that it looked at, by instruction, and runs in the
 * interpreter on random contexts, in which each register that still matters has to hold what one of them says.
 */
import assert from 'node:assert/strict';
import { PROTOTYPES } from '../../src/helpers/kernel-prototypes.ts';
import { HELPERS } from '../../src/helpers/table.ts';
import { controlFlow } from '../../src/insn/control-flow.ts';
import { disassemble } from '../../src/insn/disassemble.ts';
import { MAP_TYPES } from '../../src/maps/table.ts';
import { describeValue } from '../../src/verifier/describe-value.ts';
import { liveRegisters } from '../../src/verifier/live-registers.ts';
import { type Scalar, scalarContains } from '../../src/verifier/scalar.ts';
import type { RegisterValue } from '../../src/verifier/value.ts';
import { VmError, type VmErrorCode } from '../../src/vm/errors.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { InterpreterWorld } from '../../src/vm/world.ts';
import { Random } from './random-program.ts';
import { ourVerdict, type VerifierSubject } from './verifier-subject.ts';

const CONTEXT = 0x3000_0000_0000n;
const STACK = 0x7000_0000_0000n;
/** From one frame of the interpreter to the next. */
const FRAME_DISTANCE = 4096n;
const CONTEXT_SIZE = { uprobe: 168, tracepoint: 8192, raw_tracepoint: 96 } as const;

/** Where a run ends that is no fault of the program: a loop of millions of rounds, a helper that is not interpreted. */
const CANNOT_GO_ON: readonly VmErrorCode[] = ['VM_STEP_LIMIT', 'VM_UNKNOWN_HELPER'];

type Registers = readonly (RegisterValue | undefined)[];

/** What the running function's registers hold, by instruction and number of active functions. */
export type BelievedStates = ReadonlyMap<string, readonly Registers[]>;

/** The states that the verifier looks at; undefined if it refuses the program. */
export function believedStates(subject: VerifierSubject): BelievedStates | undefined {
  const visited = new Map<string, Registers[]>();
  const { accepted } = ourVerdict(subject, ({ insn, frames }) => {
    const key = `${insn} ${frames.length - 1}`;
    const known = visited.get(key) ?? [];
    known.push([...frames.at(-1)!.registers]);
    visited.set(key, known);
  });
  return accepted ? visited : undefined;
}

/**
 * Runs a program some times; the result is how many steps were watched.
 *
 * @param passedOver where a run may end
 * @throws {AssertionError} where a belief is wrong
 * @throws {VmError} where a run ends otherwise than by its exit
 */
export function watchRuns(
  seed: number,
  subject: VerifierSubject,
  visited: BelievedStates,
  runs: number,
  passedOver: readonly VmErrorCode[] = CANNOT_GO_ON,
): number {
  const { program, maps, type } = subject;
  const random = new Random(seed);
  const flows = controlFlow(
    program.insns,
    program.subprograms.map(({ start }) => start),
  );
  const live = liveRegisters(program.insns, flows, (helper) => PROTOTYPES.get(helper)?.args.length ?? 5);
  let steps = 0;
  const interpreter = new Interpreter(program, {
    helpers: HELPERS,
    world: new InterpreterWorld(
      maps.filter((map) => MAP_TYPES.has(map.type)),
      { random32: () => random.pick([0, 1, random.below(100), random.next()]), nowNs: () => random.number64() },
    ),
    memoryAddress: CONTEXT,
    stackAddress: STACK,
    stepLimit: 20_000,
    observe(insn, registers, depth) {
      steps++;
      const states = visited.get(`${insn} ${depth}`) ?? [];
      const matters = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((register) => (live[insn]! & (1 << register)) !== 0);
      const fits = states.some((state) => matters.every((register) => mayHold(state[register], registers[register]!)));
      if (fits) return;
      const held = matters.map((register) => `r${register}=0x${registers[register]!.toString(16)}`).join(' ');
      const believed = states.map((state) =>
        matters.map((register) => `r${register}=${state[register] && describeValue(state[register])}`).join(' '),
      );
      const where = `seed ${seed}, slot ${program.insns[insn]!.slot} '${disassemble(program.insns[insn]!)}'`;
      assert.fail(`${where}: ${held}, believed ${believed.join(' or ') || 'never reached'}`);
    },
  });
  for (let run = 0; run < runs; run++) {
    const context = Uint8Array.from({ length: CONTEXT_SIZE[type] }, () =>
      random.pick([0, 0, 1, 255, random.below(256)]),
    );
    try {
      interpreter.run(context);
    } catch (error) {
      if (!(error instanceof VmError) || !passedOver.includes(error.code)) throw error;
    }
  }
  return steps;
}

/** True if a register that is believed to hold `value` may hold `number`. What nothing rested on is not kept exactly. */
function mayHold(value: RegisterValue | undefined, number: bigint): boolean {
  if (value === undefined) return true;
  if (value.kind === 'scalar') return !value.precise || scalarContains(value.scalar, number);
  if (value.orNull && number === 0n) return true;
  const { region, offset, variable } = value;
  switch (region.kind) {
    case 'context':
      return isWithin(number - CONTEXT - BigInt(offset), variable);
    case 'stack':
      return isWithin(number - (STACK - BigInt(region.frame) * FRAME_DISTANCE) - BigInt(offset), variable);
    case 'mapValue':
      // The interpreter's values lie 2^32 bytes apart.
      return isWithin(BigInt.asIntN(32, number) - BigInt(offset), variable);
    default:
      return true;
  }
}

function isWithin(distance: bigint, variable: Scalar): boolean {
  return scalarContains(variable, BigInt.asUintN(64, distance));
}
