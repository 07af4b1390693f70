/**
 * Whether a type of the object is there in another BTF: `exists` asks only for the same sort of type, `matches` for the same
 * contents, as far as the object tells them. Source: Linux tools/lib/bpf/relo_core.c (types_are_compat, types_match).
 */
import { type Btf, MAX_DEPTH, type TypeOf } from './btf.ts';
import { coreKindOf, essentialName } from './core-path.ts';
import type { BtfType } from './type.ts';

/** A type and the BTF it is of. */
export interface TypeAt {
  readonly btf: Btf;
  readonly id: number;
}

/** True if they are the same sort of type; the caller has compared their names. */
export function areTypesCompatible(local: TypeAt, target: TypeAt, depth = 0): boolean {
  if (depth > MAX_DEPTH) return false;
  const a = local.btf.resolve(local.id);
  const b = target.btf.resolve(target.id);
  if (coreKindOf(a) !== coreKindOf(b)) return false;
  const areFit = (x: number, y: number) => areTypesCompatible(at(local, x), at(target, y), depth + 1);
  if ((a.kind === 'ptr' && b.kind === 'ptr') || (a.kind === 'array' && b.kind === 'array'))
    return areFit(a.type, b.type);
  if (a.kind === 'func_proto' && b.kind === 'func_proto') return areSignatures(a, b, areFit);
  return ['void', 'int', 'enum', 'enum64', 'struct', 'union', 'fwd'].includes(a.kind);
}

/** True if all that the local type says is so in the target. */
export function doTypesMatch(local: TypeAt, target: TypeAt): boolean {
  return new Matcher(local.btf, target.btf).match(local.id, target.id, false, 0);
}

/** How many pairs of types are compared at most: hostile types refer to each other as they like. */
const MAX_PAIRS = 100_000;

class Matcher {
  readonly #local: Btf;
  readonly #target: Btf;
  #pairsLeft = MAX_PAIRS;

  constructor(local: Btf, target: Btf) {
    this.#local = local;
    this.#target = target;
  }

  /** @param isPointee what lies behind a pointer is known by its name alone */
  match(localId: number, targetId: number, isPointee: boolean, depth: number): boolean {
    if (depth > MAX_DEPTH || this.#pairsLeft-- <= 0) return false;
    const a = this.#local.resolve(localId);
    const b = this.#target.resolve(targetId);
    if (!haveSameName(a, b)) return false;
    const pair = (x: number, y: number) => this.match(x, y, isPointee, depth + 1);
    switch (a.kind) {
      case 'void':
        return b.kind === 'void';
      case 'fwd':
        return a.kind === b.kind ? a.isUnion === b.isUnion : isPointee && b.kind === (a.isUnion ? 'union' : 'struct');
      case 'enum':
      case 'enum64':
        return (b.kind === 'enum' || b.kind === 'enum64') && haveEnumerators(a, b);
      case 'struct':
      case 'union':
        if (isPointee) return a.kind === b.kind || (b.kind === 'fwd' && b.isUnion === (a.kind === 'union'));
        return a.kind === b.kind && this.#haveMembers(a, b, depth);
      case 'int':
        return b.kind === 'int' && a.size === b.size && a.signed === b.signed;
      case 'ptr':
        return b.kind === 'ptr' && this.match(a.type, b.type, true, depth + 1);
      case 'array':
        return b.kind === 'array' && a.count === b.count && pair(a.type, b.type);
      case 'func_proto':
        return b.kind === 'func_proto' && areSignatures(a, b, pair);
      default:
        return false;
    }
  }

  #haveMembers(a: TypeOf<'struct' | 'union'>, b: TypeOf<'struct' | 'union'>, depth: number): boolean {
    if (a.members.length > b.members.length) return false;
    return a.members.every((member) =>
      b.members.some(
        (other) =>
          essentialName(member.name) === essentialName(other.name) &&
          this.match(member.type, other.type, false, depth + 1),
      ),
    );
  }
}

function areSignatures(
  a: TypeOf<'func_proto'>,
  b: TypeOf<'func_proto'>,
  areFit: (local: number, target: number) => boolean,
): boolean {
  return (
    a.params.length === b.params.length &&
    a.params.every(({ type }, index) => areFit(type, b.params[index]!.type)) &&
    areFit(a.type, b.type)
  );
}

function haveEnumerators(a: TypeOf<'enum' | 'enum64'>, b: TypeOf<'enum' | 'enum64'>): boolean {
  if (a.enumerators.length > b.enumerators.length) return false;
  const names = new Set(b.enumerators.map(({ name }) => essentialName(name)));
  return a.enumerators.every(({ name }) => names.has(essentialName(name)));
}

function haveSameName(a: BtfType, b: BtfType): boolean {
  return essentialName('name' in a ? a.name : '') === essentialName('name' in b ? b.name : '');
}

function at({ btf }: TypeAt, id: number): TypeAt {
  return { btf, id };
}
