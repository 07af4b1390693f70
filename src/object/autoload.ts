/**
 * Which programs of an object are loaded and attached by themselves. As in libbpf all are but those whose section begins with `?`; and
 * those are not that only the kernel can run: tools that look into programs often look into the kernel as well, by programs of the same
 * object. Those for functions of the kernel are loaded all the same: tools attach them to functions of programs.
 * Source: Linux tools/lib/bpf/libbpf.c (section_defs).
 */
import { isKernelMapType } from '../maps/kernel-types.ts';
import { MAP_TYPES } from '../maps/table.ts';
import { ObjectError } from './errors.ts';
import { isForeignSystemCall } from './foreign-system-calls.ts';
import type { LinkedProgram, ObjectSpec, ObjectSurvey } from './spec.ts';

/** Programs, by name, for which it is to be otherwise. */
export type Autoload = Readonly<Record<string, boolean>>;

/** A program that is not attached, or not even loaded, unless it is asked for. */
export interface LeftOutProgram {
  readonly name: string;
  readonly section: string;
  readonly why: string;
}

/** What is loaded of an object, and what is not. */
export interface LoadableObject extends ObjectSpec {
  readonly leftOut: readonly LeftOutProgram[];
}

/** What stands before the first slash, of programs for functions of the kernel: of the same type as those for functions of programs. */
const KPROBES: ReadonlySet<string> = new Set([
  'kprobe',
  'kretprobe',
  'kprobe.multi',
  'kretprobe.multi',
  'kprobe.session',
]);

/** The same, of programs of types that only the kernel has. */
const KERNEL_PREFIXES: ReadonlySet<string> = new Set([
  ...[
    'fentry',
    'fexit',
    'fmod_ret',
    'fsession',
    'fentry.s',
    'fexit.s',
    'fmod_ret.s',
    'freplace',
    'tp_btf',
    'perf_event',
  ],
  ...['lsm', 'lsm.s', 'lsm_cgroup', 'iter', 'iter.s', 'syscall', 'struct_ops', 'struct_ops.s', 'lirc_mode2'],
  ...['raw_tp.w', 'raw_tracepoint.w', 'xdp', 'xdp.frags', 'tc', 'tcx', 'netkit', 'classifier', 'action', 'netfilter'],
  ...['cgroup', 'cgroup_skb', 'sockops', 'socket', 'sk_skb', 'sk_msg', 'sk_lookup', 'sk_reuseport', 'flow_dissector'],
  ...['lwt_in', 'lwt_out', 'lwt_xmit', 'lwt_seg6local'],
]);

/** Tracepoints of system calls, behind the first slash; all others are the kernel's. */
const TRACEPOINTS: Readonly<Record<string, RegExp>> = {
  tracepoint: /^(?:raw_)?syscalls\//,
  tp: /^(?:raw_)?syscalls\//,
  raw_tracepoint: /^sys_(?:enter|exit)$/,
  raw_tp: /^sys_(?:enter|exit)$/,
};

/** Whether nothing here can run the programs of a section where it says. */
export function runsInKernelOnly(section: string): boolean {
  const [prefix, place] = section.split(/\/(.*)/s, 2) as [string, string?];
  if (KERNEL_PREFIXES.has(prefix) || KPROBES.has(prefix)) return true;
  return place !== undefined && TRACEPOINTS[prefix]?.test(place) === false;
}

/**
 * The object without the programs that are not loaded, the maps that only these use, and those that nobody uses and only the kernel has.
 *
 * @throws {ObjectError} if the rest cannot be loaded; OBJECT_NO_PROGRAM if `autoload` names what it has not
 */
export function selectPrograms(survey: ObjectSurvey, autoload: Autoload): LoadableObject {
  const { unlinked, obstacles, ...spec } = survey;
  const all = [...spec.programs, ...unlinked];
  const wishes = new Map(Object.entries(autoload));
  for (const name of wishes.keys()) {
    if (all.some((program) => program.name === name)) continue;
    const reason = `the object has ${all.map((program) => program.name).join(', ') || 'none'}`;
    throw new ObjectError('OBJECT_NO_PROGRAM', `cannot load program ${name}: ${reason}`);
  }
  // Those that others go on with come along.
  const inSlots = new Set(spec.maps.flatMap(({ initialSlots = [] }) => initialSlots.map(({ name }) => name)));
  const isWanted = ({ name }: Surveyed): boolean | undefined => wishes.get(name) ?? (inSlots.has(name) || undefined);
  const reasons = new Map<Surveyed, string | undefined>(
    all.map((program) => [program, whyNot(program, isWanted(program))]),
  );
  const isAttached = (program: Surveyed): boolean => reasons.get(program) === undefined;
  const isKeptForLater = (program: Surveyed): boolean => !wishes.has(program.name) && isKprobe(program);
  const programs = spec.programs.filter((program) => isAttached(program) || isKeptForLater(program));
  const broken = unlinked.filter(isAttached).map(({ error }) => error);
  for (const error of [...obstacles, ...broken]) throw error;
  const used = mapsOf(programs);
  const leftUnused = mapsOf(spec.programs.filter((program) => !programs.includes(program)));
  const maps = spec.maps.filter(
    ({ name, type }) => used.has(name) || inSlots.has(name) || !(leftUnused.has(name) || isKernelOnly(type)),
  );
  const leftOut = [...reasons].flatMap(([{ name, section }, why]) =>
    why === undefined ? [] : [{ name, section, why }],
  );
  return { ...spec, programs, maps, leftOut };
}

/** Whether there are maps of that type in the kernel, and none here. */
function isKernelOnly(mapType: number): boolean {
  return isKernelMapType(mapType) && !MAP_TYPES.has(mapType);
}

/** What is known of every program of an object, also of one that cannot be loaded. */
type Surveyed = Pick<LinkedProgram, 'name' | 'section' | 'isOptional'>;

/** Why a program is not attached; undefined if it is. */
function whyNot({ section, isOptional }: Surveyed, wanted: boolean | undefined): string | undefined {
  if (wanted !== undefined) return wanted ? undefined : 'it is not wanted';
  if (isOptional) return 'its section begins with `?`: it is loaded if it is asked for';
  if (isForeignSystemCall(section)) return 'x86-64 has no such system call';
  return runsInKernelOnly(section) ? 'it runs in the kernel only' : undefined;
}

function isKprobe({ section, isOptional }: Surveyed): boolean {
  return !isOptional && KPROBES.has(section.split('/', 1)[0]!);
}

function mapsOf(programs: readonly LinkedProgram[]): Set<string> {
  const references = programs.flatMap((program) => [...program.references.values()]);
  return new Set(references.flatMap((reference) => (reference.kind === 'function' ? [] : [reference.map])));
}
