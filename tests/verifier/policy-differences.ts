/**
 * Where our verdict differs from the kernel's on purpose, by name: what a privileged user of the kernel may do and a
 * program in somebody's process may not, or the other way round. Anything else that differs is a defect.
 */
import { operationOf } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { kernelFunctionNumber } from '../../src/insn/kernel-functions.ts';
import type { KernelVerdict } from '../support/kernel-oracle.ts';
import type { OurVerdict } from '../support/verifier-subject.ts';

/** One difference. It explains a pair of verdicts if all that it gives is found. */
export interface PolicyDifference {
  readonly name: string;
  readonly why: string;
  /** In our message. */
  readonly ours?: RegExp;
  /** In the kernel's. */
  readonly kernel?: RegExp;
  /** An instruction of the program, given what matched in the kernel's message. */
  readonly insn?: (insn: Insn, said: RegExpExecArray | null) => boolean;
  /** Only where we accept what the kernel refuses, or the reverse. */
  readonly only?: 'we accept' | 'we refuse';
}

const GET_SMP_PROCESSOR_ID = 8;
/** bpf_for_each_map_elem, bpf_loop, bpf_user_ringbuf_drain and the beginning of an iterator. */
const COUNTING_CALLS = [164, 181, 209, kernelFunctionNumber('bpf_iter_num_new')];

export const POLICY_DIFFERENCES: readonly PolicyDifference[] = [
  {
    name: 'helper not there yet',
    why: 'only helpers that can be emitted may be called',
    ours: /^invalid func unknown#|program of this type cannot use helper/,
  },
  {
    name: 'helper of the kernel only',
    why: 'helpers that ours implements may be closed to a program type in the kernel',
    kernel: /program of this type cannot use helper|unknown func/,
  },
  {
    name: 'a register compared with itself',
    why: 'we know how that ends, and take out the code it never comes to; the kernel looks at both ways',
    only: 'we accept',
    insn: ({ opcode, dst, src, ...rest }) => {
      const operation = operationOf({ opcode, dst, src, ...rest });
      return operation.kind === 'branch' && operation.operand === 'src' && dst === src;
    },
  },
  {
    name: 'an atomic operation that loads its own address away',
    why: 'the kernel checks the store with the register that the load has overwritten already; the processor does not',
    only: 'we accept',
    insn: ({ opcode, dst, src, ...rest }) => {
      const operation = operationOf({ opcode, dst, src, ...rest });
      return operation.kind === 'atomic' && operation.fetch && dst === (operation.operator === 'cmpxchg' ? 0 : src);
    },
  },
  {
    name: 'a bug of the kernel',
    why: 'the kernel says itself that its verifier came upon a state that cannot be',
    kernel: /verifier bug/,
    only: 'we accept',
  },
  {
    name: 'in front of the record',
    why: "a negative offset passes the kernel's check of tracepoint contexts; nothing of the record is there",
    ours: /^invalid bpf_context access off=-/,
    only: 'we refuse',
  },
  {
    name: 'programs that may not sleep',
    why: 'a helper that may have to wait is only for programs of the kernel that may; ours run as code of the process, which may',
    kernel: /helper call might sleep in a non-sleepable prog/,
    only: 'we accept',
  },
  {
    name: 'tail calls in functions',
    why: "the kernel asks for the function's type, since it wants to see a number returned; we take any number",
    kernel: /tail_call is not allowed in subprogs without BTF/,
    only: 'we accept',
  },
  {
    name: 'the low half of a negated pointer',
    why: 'a 32-bit operation leaves zeros above; of a pointer the kernel forgets that',
    kernel: /unbounded min value|unbounded memory access|makes \S+ pointer be out of bounds/,
    insn: (insn) => {
      const operation = operationOf(insn);
      return operation.kind === 'neg' && operation.width === 32;
    },
    only: 'we accept',
  },
  {
    name: 'how long one looks',
    why: 'which states are taken for the same is not the same, so of long loops one of both sees the end within its budget',
    kernel: /^BPF program is too large\. Processed 1000001 insn/m,
    only: 'we accept',
  },
  {
    name: 'the distance to another number',
    why: 'of a number that is known as a constant more than another, the kernel takes that constant for an offset of its own',
    kernel: /pointer offset (-?\d+) is not allowed/,
    insn: (insn, said) => {
      const operation = operationOf(insn);
      if (operation.kind !== 'alu' || operation.operand !== 'imm') return false;
      const by = operation.operator === 'add' ? insn.imm : operation.operator === 'sub' ? -insn.imm : undefined;
      return by === Number(said?.[1]);
    },
    only: 'we accept',
  },
  {
    name: 'the kernel itself',
    why: 'structures of the kernel may be read there; ours are not there',
    ours: /^R\d+ invalid mem access '(map_ptr|ptr_)'/,
    only: 'we refuse',
  },
  {
    name: 'maps of sockets',
    why: 'what is looked up in them is a structure of the kernel there; no such map is here, and to load one is refused',
    kernel: /invalid xdp_sock access/,
    only: 'we accept',
  },
  {
    name: 'a part of a pointer',
    why: 'it may not be read, but the kernel does not look again where it came before with other bytes in its place',
    ours: /^invalid size of register fill/,
    only: 'we refuse',
  },
  {
    name: 'a part of a pointer',
    why: 'nor do we look again where we came before with other bytes in its place; programs may learn addresses',
    kernel: /^invalid size of register fill/m,
    only: 'we accept',
  },
  {
    name: 'how many processors there are',
    why: 'the kernel knows how many its machine may have; we take any number that Linux can have',
    insn: (insn) => {
      const operation = operationOf(insn);
      return operation.kind === 'call' && operation.callee === 'helper' && insn.imm === GET_SMP_PROCESSOR_ID;
    },
    only: 'we refuse',
  },
  {
    name: 'how many processors there are',
    why: 'so it knows that a write comes to no pointer on the stack which we hold for overwritten: to us a part of it is a number',
    kernel: /^invalid size of register spill/m,
    insn: (insn) => {
      const operation = operationOf(insn);
      return operation.kind === 'call' && operation.callee === 'helper' && insn.imm === GET_SMP_PROCESSOR_ID;
    },
    only: 'we accept',
  },
  {
    name: 'a number and a pointer to a reservation',
    why: 'their sum is the pointer, of the same reservation; where the number stands first the kernel forgets of which',
    kernel: /^R\d+ must be referenced when passed to release function/m,
    insn: (insn) => {
      const operation = operationOf(insn);
      return operation.kind === 'alu' && operation.operator === 'add' && operation.operand === 'src';
    },
    only: 'we accept',
  },
  {
    name: 'what counts anew in every round',
    why: 'the kernel takes a loop for ended by iterators, may_goto or callbacks that each round begins anew; it need never end',
    ours: /^infinite loop detected|too large|too complex/,
    only: 'we refuse',
    insn: (insn) => {
      const operation = operationOf(insn);
      if (operation.kind === 'call') return COUNTING_CALLS.includes(insn.imm);
      return operation.kind === 'mayGoto';
    },
  },
  {
    name: 'stacks of their own',
    why: 'newer kernels give functions of tracing programs stacks of their own; ours share 512 bytes of a thread',
    ours: /^combined stack size/,
    only: 'we refuse',
  },
];

/**
 * Where the kernel refuses what happens on a path that we know nobody takes: it draws fewer conclusions from what it
 * knows. Whether nobody takes it is tried: the path is never taken in so many runs.
 */
export const IMPOSSIBLE_PATH = { name: 'a path that nobody takes', runs: 200 } as const;

/**
 * Where the kernel refuses a place that a number chooses, of which it has forgotten how large it may be, and we have not: a signed and an unsigned bound of one number, low bits of one whose sign was extended. That it is this alone is tried: the kernel
 * takes the program once that itself leaves where the number is not in our range; and that the range is right: in so
 * many runs no register holds what we did not believe.
 */
export const FORGOTTEN_RANGE = {
  name: 'a range that the kernel forgets',
  kernel: /outside of the allowed memory range|min value is negative|unbounded|invalid variable-offset/,
  runs: 2000,
} as const;

/**
 * Where the kernel holds a loop for endless, since it knows no more of its numbers than one round before, and we have followed
 * it to its end, round by round. That it ends is tried too, so many times.
 */
export const UNSEEN_END = {
  name: 'a loop whose end the kernel does not see',
  kernel: /infinite loop detected/,
  runs: 2000,
} as const;

/** The difference in policy that explains two verdicts, if one does. */
export function policyDifference(
  insns: readonly Insn[],
  ours: OurVerdict,
  kernel: KernelVerdict,
): PolicyDifference | undefined {
  const direction = ours.accepted ? 'we accept' : 'we refuse';
  return POLICY_DIFFERENCES.find(
    (difference) =>
      (difference.ours === undefined || difference.ours.test(ours.message)) &&
      (difference.kernel === undefined || difference.kernel.test(kernel.message)) &&
      (difference.only === undefined || difference.only === direction) &&
      (difference.insn === undefined || hasInsn(insns, difference, kernel)),
  );
}

function hasInsn(insns: readonly Insn[], { insn, kernel: words }: PolicyDifference, kernel: KernelVerdict): boolean {
  const said = words?.exec(kernel.message) ?? null;
  return insns.some((candidate) => insn!(candidate, said));
}
