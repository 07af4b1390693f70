/** What the types of a global function say of its arguments. Source: Linux kernel/bpf/btf.c, btf_prepare_func_args. */
import type { Btf } from '../btf/btf.ts';
import type { BtfType } from '../btf/type.ts';
import type { ProgramKind } from './program-kind.ts';

/** What an argument may be. */
export type Parameter =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'context' }
  | { readonly kind: 'memory'; readonly size: number; readonly orNull: boolean }
  | { readonly kind: 'task'; readonly orNull: boolean };

/** A function's types; `reason`: why it cannot be called by them. */
export type Signature =
  | { readonly parameters: readonly Parameter[]; readonly reason?: undefined }
  | { readonly reason: string };

const MAX_PARAMETERS = 5;

/** Reads a function's types. @throws {BtfError} if one is malformed */
export function readSignature(btf: Btf, func: number, kind: ProgramKind): Signature {
  const type = btf.type(func);
  if (type.kind !== 'func') return { reason: 'its type is no function' };
  const proto = btf.type(type.type);
  if (proto.kind !== 'func_proto') return { reason: 'its type is no function' };
  const { name } = type;
  if (proto.params.length > MAX_PARAMETERS) {
    return {
      reason: `Global function ${name}() with ${proto.params.length} > ${MAX_PARAMETERS} args. Buggy compiler.`,
    };
  }
  if (!isNumber(btf.resolve(proto.type))) {
    return { reason: `Global function ${name}() doesn't return scalar. Only those are supported.` };
  }
  const tags = readTags(btf, func);
  const parameters: Parameter[] = [];
  for (const [place, param] of proto.params.entries()) {
    const parameter = readParameter(btf, param.type, place, tags.get(place) ?? new Set(), kind);
    if ('reason' in parameter) return parameter;
    parameters.push(parameter);
  }
  return { parameters };
}

function readParameter(
  btf: Btf,
  id: number,
  place: number,
  tags: ReadonlySet<string>,
  kind: ProgramKind,
): Parameter | { readonly reason: string } {
  const type = btf.resolve(id);
  if (isNumber(type)) return { kind: 'scalar' };
  if (type.kind !== 'ptr') return { reason: `Arg#${place} type ${type.kind} is not supported yet.` };
  if (tags.has('ctx') || isContext(btf, type.type, kind)) return { kind: 'context' };
  const target = btf.resolve(type.type);
  const name = 'name' in target ? target.name : '';
  if (tags.has('trusted') && flavorless(name) === 'task_struct') return { kind: 'task', orNull: tags.has('nullable') };
  const unknown = [...tags].find((tag) => tag !== 'nonnull' && tag !== 'nullable');
  if (unknown !== undefined) return { reason: `arg#${place} has unsupported set of tags: ${unknown}` };
  if (name === 'bpf_dynptr') return { reason: `arg#${place} is a dynptr, which is not supported here` };
  const size = sizeOf(btf, type.type);
  if (size === undefined) {
    return {
      reason: `arg#${place} reference type('${target.kind.toUpperCase()} ${name}') size cannot be determined: -22`,
    };
  }
  return { kind: 'memory', size, orNull: !tags.has('nonnull') };
}

/** What follows three underscores tells apart several versions of one type. */
function flavorless(name: string): string {
  return name.split('___', 1)[0]!;
}

/** A pointer to a type of that name is taken for the context, behind typedefs too. @throws {BtfError} BTF_TOO_DEEP */
function isContext(btf: Btf, id: number, { contextTypes }: ProgramKind): boolean {
  // Ends, since what nests too deep, or in itself, does not resolve.
  const last = btf.resolve(id);
  for (let type = btf.type(id); ; type = btf.type(type.type)) {
    if ('name' in type && contextTypes.includes(type.name)) return true;
    if (type === last || !('type' in type)) return false;
  }
}

function sizeOf(btf: Btf, id: number): number | undefined {
  const { kind } = btf.resolve(id);
  return kind === 'void' || kind === 'fwd' || kind === 'func_proto' ? undefined : btf.sizeOf(id);
}

function isNumber(type: BtfType): boolean {
  return type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64';
}

/** The `btf_decl_tag("arg:...")` of each argument. */
function readTags(btf: Btf, func: number): Map<number, Set<string>> {
  const tags = new Map<number, Set<string>>();
  for (const { name, component } of btf.tagsOf(func)) {
    if (!name.startsWith('arg:')) continue;
    const known = tags.get(component) ?? new Set();
    tags.set(component, known.add(name.slice('arg:'.length)));
  }
  return tags;
}
