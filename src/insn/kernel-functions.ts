/**
 * Kernel functions (kfuncs) that are here. A call names one by a number: in the kernel that is an id of its types, here a place in
 * this list, which begins behind the numbers of all helpers.
 */
const NAMES = ['bpf_iter_num_new', 'bpf_iter_num_next', 'bpf_iter_num_destroy'];

/** The number of a call whose function is not here. */
export const NO_KERNEL_FUNCTION = 0;

const FIRST = 1_000_001;
const NUMBERS: ReadonlyMap<string, number> = new Map(NAMES.map((name, place) => [name, FIRST + place]));

/** What calls of the function say; NO_KERNEL_FUNCTION if it is not here. */
export function kernelFunctionNumber(name: string): number {
  return NUMBERS.get(name) ?? NO_KERNEL_FUNCTION;
}

/** Whether calls that say this number mean a kernel function that is here. */
export function isKernelFunction(number: number): boolean {
  return number >= FIRST && number < FIRST + NAMES.length;
}
