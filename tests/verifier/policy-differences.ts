/**
 * Where our verdict differs from the kernel's on purpose, by name: what a privileged user of the kernel may do and a
 * program in somebody's process may not, or the other way round. Anything else that differs is a defect.
 */
import type { KernelVerdict } from '../support/kernel-oracle.ts';
import type { OurVerdict } from '../support/verifier-subject.ts';

/** One difference. It explains a pair of verdicts if both patterns are found where they are given. */
export interface PolicyDifference {
  readonly name: string;
  readonly why: string;
  /** In our message. */
  readonly ours?: RegExp;
  /** In the kernel's. */
  readonly kernel?: RegExp;
}

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
];

/** The difference in policy that explains two verdicts, if one does. */
export function policyDifference(ours: OurVerdict, kernel: KernelVerdict): PolicyDifference | undefined {
  return POLICY_DIFFERENCES.find(
    (difference) =>
      (difference.ours === undefined || difference.ours.test(ours.message)) &&
      (difference.kernel === undefined || difference.kernel.test(kernel.message)),
  );
}
