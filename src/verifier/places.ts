/** What can be said of each instruction before any path is followed: where paths meet, which loops nobody counts. */
import type { SubprogramFlow } from '../insn/control-flow.ts';
import { operationOf } from '../insn/form.ts';
import { SlotMap } from '../insn/layout.ts';
import type { LinkedProgram } from '../object/spec.ts';
import type { CallGraph } from './call-graph.ts';
import { liveRegisters } from './live-registers.ts';
import type { VerifyOptions } from './options.ts';
import type { Places } from './stored-states.ts';

/** Looks at every instruction of a program whose structure was checked. */
export function findPlaces(
  program: LinkedProgram,
  flows: readonly SubprogramFlow[],
  graph: CallGraph,
  helpers: VerifyOptions['helpers'],
): Places {
  const { insns } = program;
  const meeting = new Uint8Array(insns.length);
  const converging = new Uint8Array(insns.length);
  const drawing = new Uint8Array(insns.length);
  const slots = new SlotMap(insns);
  for (let index = 0; index < insns.length; index++) {
    const insn = insns[index]!;
    const operation = operationOf(insn);
    const { kind } = operation;
    if (kind === 'branch' || kind === 'mayGoto') meeting[index] = 1;
    if (kind === 'branch' || kind === 'mayGoto' || kind === 'jump') meeting[slots.target(insn)!] = 1;
    const prototype = kind === 'call' && operation.callee !== 'local' ? helpers.get(insn.imm) : undefined;
    if (prototype?.returns === 'drawnNumberOrNull') drawing[index] = 1;
    if (kind === 'mayGoto' || prototype?.callback !== undefined || drawing[index] === 1) {
      meeting[index] = 1;
      converging[index] = 1;
    }
  }
  const live = liveRegisters(insns, flows, (helper) => helpers.get(helper)?.args.length ?? 5);
  const loops = flows.map(loopsOf);
  return {
    meeting,
    converging,
    drawing,
    unsettled: findUnsettled(program, flows, loops, graph, converging),
    recurring: findRecurring(program, loops, converging),
    live,
  };
}

/** Functions are called from more than one place, if not more than once from one. */
function findRecurring(
  { insns, subprograms }: LinkedProgram,
  loops: readonly (readonly Loop[])[],
  converging: Uint8Array,
): Uint8Array {
  const recurring = converging.slice();
  for (const { start, end } of loops[0]!.flat()) recurring.fill(1, start, end);
  return recurring.fill(1, subprograms[1]?.start ?? insns.length);
}

/** Instructions of loops with a converging one inside, and of all functions that those call or give away. */
function findUnsettled(
  program: LinkedProgram,
  flows: readonly SubprogramFlow[],
  loops: readonly (readonly Loop[])[],
  graph: CallGraph,
  converging: Uint8Array,
): Uint8Array {
  const unsettled = new Uint8Array(program.insns.length);
  const inside = withCalls(flows, graph, converging);
  for (const loop of loops.flat()) {
    if (!loop.some(({ start, end }) => inside.subarray(start, end).includes(1))) continue;
    for (const { start, end } of loop) unsettled.fill(1, start, end);
  }
  for (let index = 0; index < unsettled.length; index++) unsettled[index]! |= converging[index]!;
  spreadToCallees(program, flows, graph, unsettled);
  return unsettled;
}

/** The converging instructions, and calls of functions that have some. */
function withCalls(flows: readonly SubprogramFlow[], graph: CallGraph, converging: Uint8Array): Uint8Array {
  const inside = converging.slice();
  const converges = flows.map(({ start, end }) => converging.subarray(start, end).includes(1));
  for (const subprogram of graph.calleesFirst) {
    for (const { insn, callee } of graph.calls[subprogram]!) {
      if (!converges[callee]) continue;
      inside[insn] = 1;
      converges[subprogram] = true;
    }
  }
  return inside;
}

function spreadToCallees(
  program: LinkedProgram,
  flows: readonly SubprogramFlow[],
  graph: CallGraph,
  unsettled: Uint8Array,
): void {
  // Callers come before what they call.
  for (const subprogram of [...graph.calleesFirst].reverse()) {
    for (const { insn, callee } of graph.calls[subprogram]!) {
      const isGivenAway = operationOf(program.insns[insn]!).kind === 'lddw';
      if (isGivenAway || unsettled[insn] === 1) unsettled.fill(1, flows[callee]!.start, flows[callee]!.end);
    }
  }
}

/** The blocks of a loop. */
type Loop = readonly SubprogramFlow['blocks'][number][];

/** The strongly connected components of a function's blocks that are loops. Tarjan's algorithm, without recursion. */
function loopsOf({ blocks }: SubprogramFlow): Loop[] {
  const order = new Int32Array(blocks.length).fill(-1);
  const low = new Int32Array(blocks.length);
  const onStack = new Uint8Array(blocks.length);
  // As many entries as blocks at most: large programs make every container else slow.
  const stack = new Int32Array(blocks.length);
  const path = new Int32Array(blocks.length);
  const nextSuccessor = new Int32Array(blocks.length);
  const loops: Loop[] = [];
  let next = 0;
  let height = 0;
  let depth = 0;
  const enter = (block: number): void => {
    order[block] = low[block] = next++;
    onStack[block] = 1;
    stack[height++] = block;
    path[depth++] = block;
  };
  for (let root = 0; root < blocks.length; root++) {
    if (order[root] !== -1) continue;
    enter(root);
    while (depth > 0) {
      const block = path[depth - 1]!;
      const { successors } = blocks[block]!;
      const successor = successors[nextSuccessor[block]!++];
      if (successor !== undefined) {
        if (order[successor] === -1) enter(successor);
        else if (onStack[successor] === 1) low[block] = Math.min(low[block]!, order[successor]!);
        continue;
      }
      depth--;
      const parent = path[depth - 1];
      if (depth > 0) low[parent!] = Math.min(low[parent!]!, low[block]!);
      if (low[block] !== order[block]) continue;
      const last = height;
      do onStack[stack[--height]!] = 0;
      while (stack[height] !== block);
      if (last - height === 1 && !successors.includes(block)) continue;
      loops.push(Array.from(stack.subarray(height, last), (member) => blocks[member]!));
    }
  }
  return loops;
}
