/**
 * Programs that make calls fail: each counts the calls of one place and answers some of them itself. Which ones depends on nothing
 * but their number in the process and a seed, so that a run can be repeated.
 */
import { add, alu, atomic, branch, call, exit, lddw, mov, R } from '../insn/build.ts';
import type { JumpCondition } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { layOut, slotCount } from '../insn/layout.ts';
import type { LinkedProgram, ObjectSpec } from '../object/spec.ts';
import type { BpfMap } from './bpf-map.ts';

/** What is to happen at one place. Calls are counted from 1, in all threads together. */
export interface Fault {
  /** A section whose programs may answer a call: `tracepoint/syscalls/sys_enter_openat`, `uprobe.override/libc:malloc`. */
  readonly section: string;
  /** What the call gives instead of being made. */
  readonly value: bigint;
  /** The calls that are meant: `first`, and every `step`th from there to `last`. A step of 0 means `first` alone. */
  readonly first: number;
  readonly step: number;
  readonly last?: number;
  /** Of the calls that are meant, how many fail, by chance: 0 to 100. All if not given. */
  readonly percent?: number;
}

/** What was counted at one place. */
export interface FaultCounts {
  readonly calls: bigint;
  readonly injected: bigint;
}

/** The only map: for each fault the calls and those of them that failed. */
const MAP = 'faults';
const BPF_MAP_TYPE_ARRAY = 2;
const WORD = 8;
const COUNTS_SIZE = 2 * WORD;

/** bpf_override_return */
const OVERRIDE_RETURN = 58;

/** The counts of fault `index`, from the map of its object. */
export function faultCounts(map: BpfMap, index: number): FaultCounts {
  const value = map.lookup(0)!;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const word = (at: number): bigint => view.getBigUint64(index * COUNTS_SIZE + at, true);
  return { calls: word(0), injected: word(WORD) };
}

/** An object with one program for each fault, in their order. @param seed for faults by chance; 64 bits of it count */
export function faultObject(faults: readonly Fault[], seed: bigint): ObjectSpec {
  return {
    license: 'MIT',
    programs: faults.map((fault, index) => faultProgram(fault, index, seed)),
    maps: [
      {
        name: MAP,
        type: BPF_MAP_TYPE_ARRAY,
        keySize: 4,
        valueSize: COUNTS_SIZE * faults.length,
        maxEntries: 1,
        flags: 0,
        keyTypeId: 0,
        valueTypeId: 0,
      },
    ],
    btf: undefined,
    btfBytes: undefined,
  };
}

/** r6: the context, r7: where the counts are, r8: how many calls were made before. */
function faultProgram(fault: Fault, index: number, seed: bigint): LinkedProgram {
  const begin = [mov(6, R(1)), lddw(7, 0n), mov(8, 1), atomic('add', 8, 7, 0, 8, 'fetch')];
  const inject = [mov(2, 1), atomic('add', 8, 7, WORD, 2), mov(1, R(6)), lddw(2, fault.value), call(OVERRIDE_RETURN)];
  const steps = [...begin, ...which(fault), ...chance(fault, seed, index), ...inject];
  const name = `fault_${index}`;
  return {
    name,
    section: fault.section,
    insns: withExits(steps),
    references: new Map([[1, { kind: 'mapValue', map: MAP, offset: index * COUNTS_SIZE }]]),
    subprograms: [{ name, start: 0, linkage: 'static' }],
    lines: new Map(),
  };
}

/** An instruction, or a branch to the end of the program that waits to hear how far that is. */
type Step = Insn | ((slots: number) => Insn);

/** Leaves the program for calls that are not meant. */
function which({ first, step, last }: Fault): readonly Step[] {
  const steps: Step[] = [];
  const leaveIf = (condition: JumpCondition, register: number, value: number): void => {
    steps.push((slots) => branch(condition, register, value, slots));
  };
  if (step === 0) {
    leaveIf('jne', 8, first - 1);
    return steps;
  }
  if (first > 1) leaveIf('jlt', 8, first - 1);
  if (last !== undefined) leaveIf('jgt', 8, last - 1);
  if (step > 1) {
    steps.push(mov(1, R(8)), add(1, 1 - first), alu('mod', 1, step));
    leaveIf('jne', 1, 0);
  }
  return steps;
}

/** 2^64 divided by the golden ratio, and the multipliers of SplitMix64 (Steele, Lea, Flood 2014). */
const GAMMA = 0x9e37_79b9_7f4a_7c15n;
const MIX = [
  [30, 0xbf58_476d_1ce4_e5b9n],
  [27, 0x94d0_49bb_1331_11ebn],
] as const;

/** Leaves the program for calls that chance lets go: what SplitMix64 gives as its nth number decides over the nth call. */
function chance({ percent = 100 }: Fault, seed: bigint, index: number): readonly Step[] {
  if (percent >= 100) return [];
  const share = BigInt(Math.round((percent / 100) * 2 ** 32));
  const steps: Step[] = [
    lddw(2, GAMMA),
    mov(1, R(8)),
    alu('mul', 1, R(2)),
    lddw(2, BigInt.asUintN(64, seed + startOf(index))),
    add(1, R(2)),
  ];
  for (const [shift, multiplier] of MIX) {
    steps.push(mov(2, R(1)), alu('rsh', 2, shift), alu('xor', 1, R(2)), lddw(2, multiplier), alu('mul', 1, R(2)));
  }
  steps.push(alu('rsh', 1, 32), lddw(2, share), (slots) => branch('jge', 1, R(2), slots));
  return steps;
}

/** Places far apart in the sequence, so that faults of one seed do not fall together. */
function startOf(index: number): bigint {
  return BigInt.asUintN(64, BigInt(index + 1) * MIX[0][1]);
}

/** Ends the program with r0 = 0 and has the open branches lead there. */
function withExits(steps: readonly Step[]): Insn[] {
  const sizes = steps.map((step) => (typeof step === 'function' ? 1 : slotCount(step)));
  let left = sizes.reduce<number>((sum, size) => sum + size, 0);
  const insns = steps.map((step, n) => {
    left -= sizes[n]!;
    return typeof step === 'function' ? step(left) : step;
  });
  return layOut([...insns, mov(0, 0), exit()]);
}
