/** Maps that programs of these kinds may not use. Source: Linux kernel/bpf/verifier.c, check_map_prog_compatibility. */
import type { Btf } from '../btf/btf.ts';
import type { BtfType } from '../btf/type.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { refusal } from './errors.ts';
import type { VerifyOptions } from './options.ts';

/** Structs in a map's value that a probe may interrupt somebody at, and so may not touch. */
const FORBIDDEN = ['bpf_spin_lock', 'bpf_res_spin_lock', 'bpf_timer', 'bpf_wq', 'bpf_list_head', 'bpf_rb_root'];
const MAX_DEPTH = 8;
const BPF_MAP_TYPE_ARRAY = 2;

/** @throws {VerifierError} VERIFIER_NOT_ALLOWED, VERIFIER_BAD_ACCESS */
export function checkMaps(program: LinkedProgram, { maps, btf }: VerifyOptions): void {
  for (const [insn, reference] of program.references) {
    const map = reference.kind === 'mapValue' ? maps.get(reference.map) : undefined;
    if (map === undefined || reference.kind !== 'mapValue') continue;
    const reason = whyNoAddress(map, reference.offset);
    if (reason !== undefined) throw refusal(program, insn, 'VERIFIER_BAD_ACCESS', reason);
  }
  if (btf === undefined) return;
  const checked = new Set<string>();
  for (const [insn, reference] of program.references) {
    if (reference.kind === 'function' || checked.has(reference.map)) continue;
    checked.add(reference.map);
    const typeId = maps.get(reference.map)?.valueTypeId ?? 0;
    const found = typeId === 0 ? undefined : forbiddenIn(btf, typeId);
    if (found === undefined) continue;
    throw refusal(program, insn, 'VERIFIER_NOT_ALLOWED', `tracing progs cannot use ${found} yet`);
  }
}

/** Only the value of an array of one has an address that a program can be given. */
function whyNoAddress({ type, maxEntries, valueSize }: MapSpec, offset: number): string | undefined {
  if (type !== BPF_MAP_TYPE_ARRAY) return 'no direct value access support for this map type';
  if (maxEntries === 1 && offset < valueSize) return undefined;
  return `invalid access to map value pointer, value_size=${valueSize} off=${offset}`;
}

/** Level by level, each type once: types may be made of each other in more ways than anybody could follow. */
function forbiddenIn(btf: Btf, id: number): string | undefined {
  const seen = new Set<number>([id]);
  let level = [id];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const parts = new Set<number>();
    for (const type of level.map((part) => btf.resolve(part))) {
      if (type.kind === 'struct' && FORBIDDEN.includes(type.name)) return type.name;
      for (const part of partsOf(type)) if (!seen.has(part)) parts.add(part);
    }
    level = [...parts];
    for (const part of level) seen.add(part);
  }
  return undefined;
}

/** Ids of what a value of the type has in it. */
function partsOf(type: BtfType): readonly number[] {
  switch (type.kind) {
    case 'array':
    case 'var':
      return [type.type];
    case 'datasec':
      return type.variables.map(({ type: variable }) => variable);
    case 'struct':
      return type.members.map(({ type: member }) => member);
    default:
      return [];
  }
}
