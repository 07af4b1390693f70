/**
 * The same program, which says itself what we know of its numbers: where one is added to another, or given to a helper, it
 * leaves unless the number is in the range that we have for it. If the kernel takes that program it missed nothing else.
 */
import * as build from '../../src/insn/build.ts';
import { type JumpCondition, operationOf } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import type { RegisterValue } from '../../src/verifier/value.ts';
import type { BelievedStates } from './believed-states.ts';
import { type EditLine, linesOf, programOf } from './program-edits.ts';

const ARGUMENTS = [1, 2, 3, 4, 5];
const IMMEDIATE_MAX = 0x7fff_ffffn;

/** Leaves if the register compares so with the number. */
type Check = readonly [condition: JumpCondition, register: number, limit: bigint];

/** The program with such checks; undefined if there is nothing to tell. */
export function toldProgram(program: LinkedProgram, believed: BelievedStates): LinkedProgram | undefined {
  const lines = linesOf(program);
  const states = statesByInsn(believed);
  const checks = lines.map(({ insn }, index) => checksOf(insn, states.get(index) ?? []));
  if (checks.every(({ length }) => length === 0)) return undefined;

  // What led to a line leads to its checks; whoever leaves goes behind the end of its function.
  const placeOf: number[] = [];
  const functions = program.subprograms.map(({ start }, place) => {
    const end = program.subprograms[place + 1]?.start ?? lines.length;
    return { start, end, isTold: checks.slice(start, end).some(({ length }) => length > 0), out: 0 };
  });
  let at = 0;
  for (const told of functions) {
    for (let index = told.start; index < told.end; index++) {
      placeOf.push(at);
      at += checks[index]!.length + 1;
    }
    told.out = at;
    if (told.isTold) at += LEAVE.length;
  }
  const told = functions.flatMap(({ start, end, isTold, out }) => [
    ...lines.slice(start, end).flatMap((line, index): EditLine[] => [
      ...checks[start + index]!.map(([condition, register, limit]) => ({
        insn: build.branch(condition, register, Number(limit), 0),
        target: out,
        reference: undefined,
      })),
      { ...line, target: line.target === undefined ? undefined : placeOf[line.target]! },
    ]),
    ...(isTold ? LEAVE : []),
  ]);
  return programOf(program.name, told);
}

const LEAVE: readonly EditLine[] = [build.mov(0, 0), build.exit()].map((insn) => ({
  insn,
  target: undefined,
  reference: undefined,
}));

function statesByInsn(believed: BelievedStates): Map<number, (readonly (RegisterValue | undefined)[])[]> {
  const states = new Map<number, (readonly (RegisterValue | undefined)[])[]>();
  for (const [key, registers] of believed) {
    const insn = Number(key.split(' ')[0]);
    states.set(insn, [...(states.get(insn) ?? []), ...registers]);
  }
  return states;
}

function checksOf(insn: Insn, states: readonly (readonly (RegisterValue | undefined)[])[]): Check[] {
  return toldRegisters(insn).flatMap((register) =>
    rangeChecks(
      register,
      states.map((state) => state[register]),
    ),
  );
}

/** The registers in which an instruction may take a number that safety rests on. */
function toldRegisters(insn: Insn): readonly number[] {
  const operation = operationOf(insn);
  if (operation.kind === 'call' && operation.callee === 'helper') return ARGUMENTS;
  if (operation.kind !== 'alu' || (operation.operator !== 'add' && operation.operator !== 'sub')) return [];
  return operation.operand === 'src' ? [insn.dst, insn.src] : [insn.dst];
}

/** None of what is a pointer somewhere, and of a number that nothing rested on: that is not kept exactly. */
function rangeChecks(register: number, values: readonly (RegisterValue | undefined)[]): Check[] {
  const scalars = values.map((value) => (value?.kind === 'scalar' && value.precise ? value.scalar : undefined));
  const known = scalars.filter((scalar) => scalar !== undefined);
  if (known.length === 0 || known.length < scalars.length) return [];
  const [umin, umax] = [known.map((k) => k.umin).reduce(least), known.map((k) => k.umax).reduce(most)];
  const [smin, smax] = [known.map((k) => k.smin).reduce(least), known.map((k) => k.smax).reduce(most)];
  const checks: Check[] = [];
  if (umax <= IMMEDIATE_MAX) checks.push(['jgt', register, umax]);
  else if (smax <= IMMEDIATE_MAX) checks.push(['jsgt', register, smax]);
  if (umax <= IMMEDIATE_MAX && umin > 0n) checks.push(['jlt', register, umin]);
  else if (umax > IMMEDIATE_MAX && smin >= -IMMEDIATE_MAX) checks.push(['jslt', register, smin]);
  return checks;
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
