/** Calls of kernel functions (kfuncs): the few that are here are like helpers; the others are refused by name. */
import { stepPrototype } from './helper-call.ts';
import { refuse, type Step } from './step.ts';

/** Why those are not here that programs use, by their names. The first that fits counts. */
const REASONS: readonly { readonly names: RegExp; readonly why: string }[] = [
  {
    names: /^bpf_iter_|^bpf_(task|cgroup|cpumask|vma|kmem|get_task|get_file|get_mem_cgroup|put_)/,
    why: 'it is about structures of the kernel, which are not there in a process',
  },
  {
    names: /^bpf_(rdonly_cast|cast_to_kern_ctx|core_|probe_read_kernel_dynptr)|_cast$/,
    why: 'it gives pointers into structures of the kernel, which are not there in a process',
  },
  {
    names: /^bpf_str|^bpf_copy_from_user_str|^bpf_copy_from_user_task_str/,
    why: 'strings are compared by bpf_strncmp, and read by bpf_probe_read_user_str',
  },
  {
    names: /dynptr/,
    why: 'of dynptrs there are bpf_dynptr_from_mem, _read, _write, _data and those of ring buffers',
  },
  {
    names: /^bpf_(obj|percpu_obj|refcount|list|rbtree|kptr)_/,
    why: 'programs have no memory to allocate here, maps hold what they keep',
  },
  {
    names: /^bpf_(rcu|preempt|local_irq|res_spin)_/,
    why: 'it says when the kernel may interrupt a program, and here it may always',
  },
  { names: /^bpf_(wq|timer|task_work)_/, why: 'nothing runs in a process unless one of its threads comes by' },
];
const OTHERWISE = 'it is a function of the kernel, and not here';

/** Goes on behind the call. @throws {VerifierError} VERIFIER_KFUNC if the function is not here */
export function stepKernelFunction(step: Step): number {
  const { program, options, insn, index } = step;
  const prototype = options.helpers.get(insn.imm);
  if (prototype?.isKernelFunction) return stepPrototype(step, prototype);
  const name = program.missing?.get(index);
  if (name === undefined) {
    const reason = `calling kernel function btf_id ${insn.imm} is not allowed outside the kernel`;
    throw refuse(step, 'VERIFIER_KFUNC', reason);
  }
  const why = REASONS.find(({ names }) => names.test(name))?.why ?? OTHERWISE;
  throw refuse(step, 'VERIFIER_KFUNC', `calling kernel function ${name} is not allowed: ${why}`);
}
