/**
 * Where a CO-RE relocation leads, inside a type of the object: '0:1:2' is element 0, its member 1, of that the member 2.
 * Source: Linux tools/lib/bpf/relo_core.c (bpf_core_parse_spec).
 */
import { type Btf, MAX_DEPTH } from './btf.ts';
import { BtfError } from './errors.ts';
import type { BtfType, Member } from './type.ts';

/** One step that has to be found in the other BTF too: members without a name are passed through silently. */
export type CoreStep =
  | { readonly kind: 'member'; readonly member: Member }
  /** An element of an array, or of the array that the root is taken for. */
  | { readonly kind: 'element'; readonly index: number; readonly type: number };

/** A way into a type. */
export interface CorePath {
  readonly btf: Btf;
  /** Id of the type it begins at. */
  readonly root: number;
  /** The first one is an element. */
  readonly steps: readonly CoreStep[];
  /** From the beginning of the root. */
  readonly bitOffset: number;
}

/** More than any type has bits: numbers stay exact. */
const MAX_BITS = 2 ** 40;
/** As in libbpf. */
const MAX_STEPS = 64;

/**
 * Reads the way of a relocation of a field.
 *
 * @param access as in '0:1:2'
 * @throws {BtfError} BTF_BAD_RELOCATION if there is no such way, and what reading a malformed type throws
 */
export function readCorePath(btf: Btf, root: number, access: string): CorePath {
  const [first, ...rest] = readAccess(access);
  const steps: CoreStep[] = [{ kind: 'element', index: first!, type: root }];
  let bitOffset = first! * btf.sizeOf(root) * 8;
  let id = root;
  /** An array without an end of its own may be the last thing of a structure. */
  let isOpen = false;
  for (const index of rest) {
    const type = btf.resolve(id);
    if (type.kind === 'struct' || type.kind === 'union') {
      const member = type.members[index];
      if (member === undefined) throw noWay(access, `a ${type.kind} of ${type.members.length} members`);
      if (member.name !== '') steps.push({ kind: 'member', member });
      isOpen = index === type.members.length - 1;
      bitOffset += member.bitOffset;
      id = member.type;
    } else if (type.kind === 'array') {
      if (index >= type.count && !(type.count === 0 && isOpen)) {
        throw noWay(access, `an array of ${type.count}`);
      }
      id = type.type;
      isOpen = false;
      steps.push({ kind: 'element', index, type: id });
      bitOffset += index * btf.sizeOf(id) * 8;
    } else {
      throw noWay(access, `a ${type.kind}`);
    }
  }
  if (bitOffset > MAX_BITS) throw noWay(access, 'a type that is too large');
  return { btf, root, steps, bitOffset };
}

/** The number of a relocation of a type or an enumerator. @throws {BtfError} BTF_BAD_RELOCATION */
export function readCoreIndex(access: string): number {
  const [index, ...rest] = readAccess(access);
  if (rest.length > 0) throw noWay(access, 'one number');
  return index!;
}

/**
 * The same way through another type, found by names; undefined if it does not lead there.
 *
 * @param root id of a candidate: a type of the same kind and name
 * @throws {BtfError} if a type is malformed
 */
export function findCorePath(path: CorePath, btf: Btf, root: number): CorePath | undefined {
  const steps: CoreStep[] = [];
  let bitOffset = 0;
  let id = root;
  let isOpen = false;
  for (const [place, step] of path.steps.entries()) {
    if (step.kind === 'member') {
      const found = findMember(path.btf, step.member, btf, id);
      if (found === undefined) return undefined;
      bitOffset += found.bitOffset;
      id = found.member.type;
      isOpen = found.isLast;
      steps.push({ kind: 'member', member: found.member });
      continue;
    }
    if (place > 0) {
      const type = btf.resolve(id);
      if (type.kind !== 'array' || (step.index >= type.count && !(type.count === 0 && isOpen))) return undefined;
      id = type.type;
      isOpen = false;
    }
    bitOffset += step.index * btf.sizeOf(id) * 8;
    steps.push({ kind: 'element', index: step.index, type: id });
  }
  return bitOffset > MAX_BITS ? undefined : { btf, root, steps, bitOffset };
}

/** The offset of a field in bytes, named from the structure inwards; of arrays, in their first element. undefined if there is none. */
export function fieldOffset(btf: Btf, root: number, path: readonly string[]): number | undefined {
  let offset = 0;
  let id = root;
  for (const name of path) {
    for (let type = btf.resolve(id); type.kind === 'array'; type = btf.resolve(id)) id = type.type;
    const found = memberNamed(btf, id, name, 0);
    if (found === undefined || found.member.bitSize !== undefined) return undefined;
    offset += found.bitOffset / 8;
    id = found.member.type;
  }
  return offset;
}

interface FoundMember {
  readonly member: Member;
  readonly bitOffset: number;
  readonly isLast: boolean;
}

function findMember(localBtf: Btf, local: Member, btf: Btf, id: number): FoundMember | undefined {
  const found = memberNamed(btf, id, local.name, 0);
  return found && areFieldsCompatible(localBtf, local.type, btf, found.member.type) ? found : undefined;
}

/** Looks through members that have no name. */
function memberNamed(btf: Btf, id: number, name: string, depth: number): FoundMember | undefined {
  const type = btf.resolve(id);
  if (depth > MAX_DEPTH || (type.kind !== 'struct' && type.kind !== 'union')) return undefined;
  for (const [index, member] of type.members.entries()) {
    const isLast = index === type.members.length - 1;
    if (member.name === name) return { member, bitOffset: member.bitOffset, isLast };
    if (member.name !== '') continue;
    const inner = memberNamed(btf, member.type, name, depth + 1);
    if (inner !== undefined) {
      return { ...inner, bitOffset: member.bitOffset + inner.bitOffset };
    }
  }
  return undefined;
}

/** Whether a field may be read as the other: numbers and pointers as any such, structures as any, arrays by their elements. */
function areFieldsCompatible(localBtf: Btf, localId: number, btf: Btf, id: number): boolean {
  let local = localBtf.resolve(localId);
  let target = btf.resolve(id);
  for (let depth = 0; local.kind === 'array' && target.kind === 'array'; depth++) {
    if (depth > MAX_DEPTH) return false;
    [local, target] = [localBtf.resolve(local.type), btf.resolve(target.type)];
  }
  if (isComposite(local) && isComposite(target)) return true;
  if (coreKindOf(local) !== coreKindOf(target)) return false;
  if (local.kind === 'int' || local.kind === 'ptr' || local.kind === 'float') return true;
  if (!('name' in local) || !('name' in target)) return false;
  return local.name === '' || target.name === '' || essentialName(local.name) === essentialName(target.name);
}

function isComposite({ kind }: BtfType): boolean {
  return kind === 'struct' || kind === 'union';
}

/** The kind of a type, enums of all sizes being one. */
export function coreKindOf({ kind }: BtfType): BtfType['kind'] {
  return kind === 'enum64' ? 'enum' : kind;
}

/** A name without its flavour: several versions of a type, `task_struct___old`, stand for one. */
export function essentialName(name: string): string {
  // The last three underscores between other characters.
  return /^(.*[^_])___[^_]/s.exec(name)?.[1] ?? name;
}

function readAccess(access: string): number[] {
  const indexes = /^\d{1,9}(:\d{1,9})*$/.test(access) ? access.split(':').map(Number) : [];
  if (indexes.length === 0 || indexes.length > MAX_STEPS) {
    throw new BtfError(
      'BTF_BAD_RELOCATION',
      `cannot read a CO-RE relocation: its access is '${access.slice(0, 100)}', wanted up to ${MAX_STEPS} numbers between colons`,
    );
  }
  return indexes;
}

function noWay(access: string, what: string): BtfError {
  return new BtfError('BTF_BAD_RELOCATION', `cannot follow the access '${access}' of a CO-RE relocation: ${what}`);
}
