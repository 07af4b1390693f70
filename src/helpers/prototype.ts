/** What a helper asks of its arguments and promises of its result, in the kernel's terms: what the verifier knows of it. */

/** What an argument must be; the kernel's `enum bpf_arg_type`, in words. A size bounds the memory in front of it. */
export type ArgType =
  /** A number; as in the kernel a pointer will do, since programs that trace may learn addresses. */
  | 'scalar'
  | 'any'
  /** A number and nothing else. */
  | 'number'
  /** Of a variadic helper: may be left out, and nobody checks it. */
  | 'optional'
  | 'context'
  | 'map'
  | 'mapKey'
  | 'mapValue'
  | 'mapValueOrNull'
  /** As large as a value of the map, to be written. */
  | 'mapValueWrite'
  | 'memRead'
  | 'memReadOrNull'
  | 'memWrite'
  | 'memSize'
  | 'memSizeOrZero'
  /** Eight bytes to be written. */
  | 'wordWrite'
  /** A string that ends in a zero byte, in a map that nobody may write. */
  | 'constantString'
  /** A constant string that says what is to be made of numbers, and the size of these, which goes with it. */
  | 'format'
  | 'formatted'
  /** How much memory to reserve: a number that is known. */
  | 'allocationSize'
  /** What bpf_ringbuf_reserve gave; it is given back. */
  | 'ringbufMemory'
  /** What is called back, and what it is given. */
  | 'function'
  | 'callbackContext'
  /** What bpf_get_current_task_btf gave. */
  | 'task'
  | 'taskOrNull'
  /** 16 bytes of stack that become a dynptr: to memory of a map's value, or of a ring buffer; the latter has to be given back. */
  | 'newLocalDynptr'
  | 'newRingbufDynptr'
  /** Any dynptr; one of a ring buffer, which is given back. */
  | 'dynptr'
  | 'ringbufDynptr'
  /** Memory of a map's value, for a dynptr: what `memWrite` is, and nothing else. */
  | 'dynptrMemory'
  /** Eight bytes of stack that become an iterator, which has to be destroyed. */
  | 'newIterator'
  /** One that is asked for what comes next; one that is destroyed. */
  | 'drawnIterator'
  | 'destroyedIterator';

/** What comes back in r0. */
export type ReturnType =
  | 'scalar'
  /** Of a processor. */
  | 'cpuNumber'
  | 'void'
  | 'mapValueOrNull'
  /** A negative errno, or at most as much as the size that was given. */
  | 'sizeOrError'
  /** As much memory as `allocationSize` says, or 0. It has to be given back. */
  | 'ringbufMemoryOrNull'
  /** As much memory of the dynptr as `allocationSize` says, or 0; good as long as the dynptr is. */
  | 'dynptrMemoryOrNull'
  /** The registers of the task: the context itself, where it is that. */
  | 'registers'
  | 'task'
  /** A number that the iterator shows, to be read as long as that is not destroyed; 0 once there is none, and from then on. */
  | 'drawnNumberOrNull';

/** What a function that is called back gets. */
export type CallbackArg = 'scalar' | 'map' | 'mapKey' | 'mapValue' | 'callbackContext' | 'dynptr';

/** How a helper calls its `function` argument. */
export interface Callback {
  readonly args: readonly CallbackArg[];
  /** What it may return. */
  readonly returns: readonly [min: bigint, max: bigint];
  /** True if r1 says how often. */
  readonly counted: boolean;
}

/** What a program may do only if the user says so: change what functions get and return, write memory, send signals. */
export const PERMISSIONS = ['override', 'write-user', 'signal'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** What a helper may need of the machine, the target or the user that not every place has. */
export type Requirement =
  /** It makes a system call in the target: refused under a seccomp filter. */
  'syscall' | Permission;

/** The row of a helper, without how it does it. */
export interface Prototype {
  readonly name: `bpf_${string}`;
  readonly args: readonly ArgType[];
  readonly returns: ReturnType;
  readonly requires: readonly Requirement[];
  /** Types of maps it takes, by the kernel's numbers; undefined: all whose elements are looked up, updated and deleted. */
  readonly maps?: readonly number[];
  readonly callback?: Callback;
  /** The programs that come after it are another program's: it does not return unless it fails. */
  readonly leaves?: true;
  /** The kernel gives it to other programs, but to none that trace. */
  readonly untraced?: true;
  /** It is no helper of the kernel but one of its functions (kfunc): only calls of such mean it. */
  readonly isKernelFunction?: true;
  /** It changes r0 alone: slots in which compilers keep r1 to r5 around it do not count as stack, as in the kernel. */
  readonly fastcall?: true;
}
