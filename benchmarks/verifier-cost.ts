/**
 * What a verdict costs: programs of a usual size, large ones, and those that are written to take long ("bombs"), beside
 * BPF_PROG_LOAD of the running kernel, which closes what it loaded at once and, where it accepts, compiles it too.
 */
import { KernelOracle, whyNoOracle } from '../tests/support/kernel-oracle.ts';
import { parseCases } from '../tests/support/verifier-cases.ts';
import { ourVerdict, type VerifierSubject } from '../tests/support/verifier-subject.ts';
import { type Spread, spread } from './stats.ts';

/** One row: a verdict of ours and one of the kernel's, in ms. */
export interface VerifierCost {
  readonly label: string;
  readonly insns: number;
  readonly accepted: boolean;
  /** Instructions looked at. */
  readonly processed: number;
  readonly ms: Spread;
  /** undefined where the kernel takes no programs from us. */
  readonly kernelMs: Spread | undefined;
  /** The most it may take. */
  readonly goalMs: number;
}

/** As text of a case file; `count` is how many are verified for one measurement. */
interface Workload {
  readonly label: string;
  readonly text: string;
  readonly count: number;
  readonly goalMs: number;
}

const BLOCKS_OF_4000 = 132;
const DIAMONDS = 64;
const MILLION = 1_000_000;

/** A probe that counts by a bounded index: 32 instructions. */
const USUAL = `
    ldxdw r6, [r1+112]
    ldxdw r7, [r1+104]
    mov r8, r6
    and r8, 0x3f
    stxdw [r10-16], r7
    mov32 r7, r7
    rsh r7, 28
    stxdw [r10-8], r8
    mov r2, r10
    add r2, -8
    map r1, hash
    call 1
    jeq r0, 0, out
    ldxdw r3, [r0]
    add r3, 1
    stxdw [r0], r3
    jgt r3, 1000, out
    mov r9, r0
    add r9, r7
    jge r7, 16, out
    ldxb r4, [r9]
    ldxdw r5, [r10-16]
    add r4, r5
    xor r4, r8
    jslt r4, 0, skip
    stxdw [r10-24], r4
    skip: mov r1, r6
    lsh r1, 32
    arsh r1, 32
    add r1, r4
    out: mov r0, 0
    exit`;

/** 30 instructions, after which all is as before. */
const BLOCK = (n: number): string => `
    mov r7, r6
    and r7, ${n & 31}
    stxdw [r10-8], r7
    mov r8, r6
    rsh r8, 3
    xor r8, r7
    stxw [r10-16], r8
    ldxw r3, [r10-16]
    add32 r3, ${n}
    mov r4, r3
    lsh r4, 2
    or r4, 1
    jeq r7, ${n & 15}, b${n}
    add r4, r8
    b${n}: stxdw [r10-24], r4
    mov r5, r4
    sub r5, r3
    mul r5, 3
    and r5, 7
    mov r2, r10
    add r2, -32
    add r2, r5
    stb [r2], 1
    ldxdw r3, [r10-24]
    neg r3
    jsgt r3, 100, c${n}
    add r3, r5
    c${n}: mov32 r4, r3
    stxdw [r10-40], r4
    mov r7, 0`;

const WORKLOADS: readonly Workload[] = [
  { label: 'a probe of 32 instructions, 1,000 times', text: USUAL, count: 1000, goalMs: 100 },
  {
    label: '4,000 instructions',
    text: `    ldxdw r6, [r1+112]\n${Array.from({ length: BLOCKS_OF_4000 }, (_, n) => BLOCK(n)).join('')}\n    mov r0, 0\n    exit`,
    count: 1,
    goalMs: 50,
  },
  { label: `bomb: ${DIAMONDS} diamonds`, text: diamonds(), count: 1, goalMs: 2000 },
  {
    label: 'bomb: a loop of many rounds',
    text: '    mov r6, 0\n    loop: add r6, 1\n    jlt r6, 10000000, loop\n    mov r0, 0\n    exit',
    count: 1,
    goalMs: 2000,
  },
  {
    label: 'bomb: a loop that nothing ends',
    text: '    ldxh r6, [r1]\n    loop: add r6, 447767737\n    jset r6, 0x702000, loop\n    mov r0, 0\n    exit',
    count: 1,
    goalMs: 2000,
  },
  {
    label: 'bomb: a million instructions, one behind the other',
    text: `    mov r0, 0\n${'    add r0, 1\n'.repeat(MILLION - 2)}    exit`,
    count: 1,
    goalMs: 2000,
  },
];

/** 2^64 sums, none like the other, and an access that rests on the sum. */
function diamonds(): string {
  const diamond = (n: number): string =>
    `    jset r6, ${n < 31 ? 2 ** n : 1}, d${n}\n    add r7, ${n * n + 1}\n    d${n}: rsh r6, ${n < 31 ? 0 : 1}\n`;
  const all = Array.from({ length: DIAMONDS }, (_, n) => diamond(n)).join('');
  return `    ldxdw r6, [r1+8]\n    mov r7, 0\n${all}    mov r2, r10\n    add r2, -512\n    and r7, 255\n    add r2, r7\n    stb [r2], 0\n    mov r0, 0\n    exit`;
}

/** @param rounds in which all workloads follow one another, ours and the kernel's side by side */
export function measureVerifier(rounds: number): VerifierCost[] {
  const why = whyNoOracle();
  using oracle = why === undefined ? new KernelOracle() : undefined;
  return WORKLOADS.map((workload) => {
    const subject = subjectOf(workload);
    const ours: number[] = [];
    const kernel: number[] = [];
    let verdict = ourVerdict(subject);
    for (let round = 0; round < rounds; round++) {
      ours.push(
        timed(workload.count, () => {
          verdict = ourVerdict(subject);
        }),
      );
      if (oracle !== undefined) kernel.push(timed(workload.count, () => oracle.verdict(subject)));
    }
    return {
      label: workload.label,
      insns: subject.program.insns.length,
      accepted: verdict.accepted,
      processed: verdict.processed,
      ms: spread(ours),
      kernelMs: oracle && spread(kernel),
      goalMs: workload.goalMs,
    };
  });
}

function subjectOf({ label, text }: Workload): VerifierSubject {
  return parseCases(`== ${label}\n${text}\npost:\n`)[0]!.subject;
}

function timed(count: number, verify: () => unknown): number {
  const begun = performance.now();
  for (let n = 0; n < count; n++) verify();
  return performance.now() - begun;
}
