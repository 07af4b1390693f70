/**
 * The value of `__bpf_usdt_specs` for one probe site: the table that bpf_usdt_arg() reads. Source: libbpf's usdt.bpf.h. libbpf 1.7
 * has moved its fields to make room for index registers, so where each lies is taken from the types of the program's object.
 */
import type { Btf } from '../../btf/btf.ts';
import type { Member } from '../../btf/type.ts';
import { BpfError } from '../../errors.ts';
import type { MapSpec } from '../../maps/map-type.ts';
import { AttachError } from '../errors.ts';
import type { UsdtArgument } from './usdt-arguments.ts';

/** enum __bpf_usdt_arg_type */
const ArgType = { constant: 0n, register: 1n, memory: 2n, indexed: 3n } as const;

/** A number of some bits, anywhere. */
interface Field {
  readonly bit: number;
  readonly bits: number;
}

/** Fields of struct __bpf_usdt_arg_spec; those that only libbpf 1.7 and later have are in brackets. */
const ARGUMENT_FIELDS = ['val_off', 'arg_type', 'reg_off', 'arg_signed', 'arg_bitshift'] as const;
const INDEX_FIELDS = ['idx_reg_off', 'scale_bitshift'] as const;
type ArgumentField = (typeof ARGUMENT_FIELDS)[number] | (typeof INDEX_FIELDS)[number];

/** Where everything lies in struct __bpf_usdt_spec. */
export interface SpecLayout {
  /** In bytes. */
  readonly size: number;
  /** In bits. */
  readonly argumentSize: number;
  /** How many arguments there is room for. */
  readonly argumentCount: number;
  readonly argument: Readonly<Partial<Record<ArgumentField, Field>>>;
  readonly cookie: Field;
  readonly count: Field;
}

/**
 * Reads the layout from the types of the map's values.
 *
 * @throws {AttachError} ATTACH_USDT_ARGUMENT if they are not what bpf_usdt_arg() reads
 */
export function specLayoutOf({ name, valueSize, valueTypeId }: MapSpec, btf: Btf | undefined): SpecLayout {
  const refuse = (why: string, cause?: unknown): never => {
    throw new AttachError('ATTACH_USDT_ARGUMENT', `cannot describe arguments in map '${name}': ${why}`, {
      fix: "include libbpf's <bpf/usdt.bpf.h> in the program and compile it with -g",
      ...(cause !== undefined && { cause }),
    });
  };
  if (btf === undefined) return refuse('the object has no types');
  try {
    const whole = fieldsOf(btf, valueTypeId, ['args', 'usdt_cookie', 'arg_cnt']);
    const args = whole.get('args') && btf.resolve(whole.get('args')!.type);
    const [cookie, count] = [whole.get('usdt_cookie'), whole.get('arg_cnt')];
    if (args?.kind !== 'array' || cookie === undefined || count === undefined || whole.get('args')!.bit !== 0) {
      return refuse('its values are no struct __bpf_usdt_spec');
    }
    const argument = fieldsOf(btf, args.type, [...ARGUMENT_FIELDS, ...INDEX_FIELDS]);
    const missing = ARGUMENT_FIELDS.find((field) => !argument.has(field));
    if (missing !== undefined) return refuse(`its arguments have no ${missing}`);
    const argumentSize = btf.sizeOf(args.type) * 8;
    const all = { bit: 0, bits: argumentSize * args.count };
    if (![...argument.values()].every(within(argumentSize)) || ![all, cookie, count].every(within(valueSize * 8))) {
      return refuse('its fields lie outside of it');
    }
    return {
      size: valueSize,
      argumentSize,
      argumentCount: args.count,
      argument: Object.fromEntries(argument),
      cookie,
      count,
    };
  } catch (error) {
    if (error instanceof AttachError || !(error instanceof BpfError)) throw error;
    return refuse(error.message, error);
  }
}

/**
 * Lays out the value for one site.
 *
 * @param cookie what bpf_usdt_cookie() gives
 * @throws {AttachError} ATTACH_USDT_ARGUMENT if the program's table has no room for an argument
 */
export function layOutUsdtSpec(layout: SpecLayout, args: readonly UsdtArgument[], cookie: bigint): Uint8Array {
  if (args.length > layout.argumentCount) {
    throw new AttachError(
      'ATTACH_USDT_ARGUMENT',
      `cannot describe the arguments: there are ${args.length}, at most ${layout.argumentCount} are known`,
    );
  }
  const bytes = new Uint8Array(layout.size);
  args.forEach((arg, index) => {
    for (const [field, value] of Object.entries(valuesOf(arg)) as [ArgumentField, bigint][]) {
      const place = layout.argument[field];
      if (place === undefined) throw withoutIndex(arg);
      setBits(bytes, { ...place, bit: index * layout.argumentSize + place.bit }, value);
    }
  });
  setBits(bytes, layout.cookie, cookie);
  setBits(bytes, layout.count, BigInt(args.length));
  return bytes;
}

function valuesOf(arg: UsdtArgument): Partial<Record<ArgumentField, bigint>> {
  const common = { arg_signed: arg.signed ? 1n : 0n, arg_bitshift: BigInt(64 - 8 * arg.size) };
  switch (arg.in) {
    case 'constant':
      return { ...common, arg_type: ArgType.constant, val_off: arg.value };
    case 'register':
      return { ...common, arg_type: ArgType.register, reg_off: BigInt(arg.register) };
    case 'memory': {
      const base = { ...common, reg_off: BigInt(arg.base), val_off: arg.offset };
      if (arg.index === undefined) return { ...base, arg_type: ArgType.memory };
      const { register, shift } = arg.index;
      return { ...base, arg_type: ArgType.indexed, idx_reg_off: BigInt(register), scale_bitshift: BigInt(shift) };
    }
  }
}

function withoutIndex({ word }: UsdtArgument): AttachError {
  return new AttachError(
    'ATTACH_USDT_ARGUMENT',
    `cannot find argument '${word}': it is at an index register, which the program's usdt.bpf.h does not know`,
    { fix: "compile the program with libbpf's <bpf/usdt.bpf.h> of version 1.7 or later" },
  );
}

const within =
  (size: number) =>
  ({ bit, bits }: Field): boolean =>
    bit + bits <= size;

/** The named members of a struct, with where they lie; those that it does not have are left out. */
function fieldsOf<const N extends string>(btf: Btf, id: number, names: readonly N[]) {
  const fields = new Map<N, Field & { readonly type: number }>();
  const type = btf.resolve(id);
  if (type.kind !== 'struct') return fields;
  for (const member of type.members) {
    if (!(names as readonly string[]).includes(member.name)) continue;
    fields.set(member.name as N, { bit: member.bitOffset, bits: bitsOf(btf, member), type: member.type });
  }
  return fields;
}

function bitsOf(btf: Btf, { bitSize, type }: Member): number {
  return bitSize ?? btf.sizeOf(type) * 8;
}

/** Little-endian, as bit fields of x86-64 and eBPF are. */
function setBits(bytes: Uint8Array, { bit, bits }: Field, value: bigint): void {
  let rest = BigInt.asUintN(bits, value);
  for (let at = bit; rest !== 0n; at++, rest >>= 1n) {
    if ((rest & 1n) === 1n) bytes[at >> 3]! |= 1 << (at & 7);
  }
}
