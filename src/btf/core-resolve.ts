/**
 * The value of a CO-RE relocation: what was meant is found by its name among the types of the machine, and asked there what the
 * compiler knew only of its own. Source: Linux tools/lib/bpf/relo_core.c (bpf_core_calc_relo_insn).
 */
import type { Btf } from './btf.ts';
import type { CoreRelocation } from './btf-ext.ts';
import { areTypesCompatible, doTypesMatch } from './core-compat.ts';
import { type CoreKind, coreKind } from './core-kind.ts';
import { type CorePath, coreKindOf, essentialName, findCorePath, readCoreIndex, readCorePath } from './core-path.ts';
import { type FieldValue, fieldValue } from './core-value.ts';
import { BtfError } from './errors.ts';

/** What a value was and what it becomes. */
export interface CoreValue {
  /** What the compiler has written; undefined if nobody can tell. */
  readonly expected: bigint | undefined;
  /** undefined if what was meant does not exist: the instruction must not be reached. */
  readonly value: bigint | undefined;
  /** For offsets: the field that is accessed, in the object and in the target. */
  readonly access?: { readonly local: FieldValue['access']; readonly target: FieldValue['access'] };
}

/** Finds types by the name they have without their flavour. */
export interface CoreTypes {
  /** The BTF that describes types of this name, and their ids. */
  candidates(name: string): { readonly btf: Btf; readonly ids: readonly number[] };
}

/** What one candidate has to say. */
type Answer = Pick<CoreValue, 'value'> & { readonly access?: FieldValue['access']; readonly bitOffset?: number };

/**
 * Resolves one relocation.
 *
 * @param local the types of the object
 * @throws {BtfError} BTF_BAD_RELOCATION if it makes no sense; BTF_AMBIGUOUS if types of one name differ in what is asked
 */
export function resolveCore(relocation: CoreRelocation, local: Btf, types: CoreTypes): CoreValue {
  const kind = coreKind(relocation.kind);
  if (kind.asks === 'localId') return { expected: undefined, value: BigInt(relocation.type) };
  const root = local.type(relocation.type);
  const rootName = 'name' in root ? root.name : '';
  if (rootName === '') throw bad(`type ${relocation.type} is a ${root.kind} without a name`);
  const question = QUESTIONS[kind.about](kind, relocation, local);

  const { btf, ids } = types.candidates(essentialName(rootName));
  const answers = ids
    .filter((id) => coreKindOf(btf.type(id)) === coreKindOf(root))
    .map((id) => question.ask(btf, id))
    .filter((answer) => answer !== undefined);
  const [first, ...others] = answers;
  if (first === undefined) return { expected: question.expected, value: question.absent };
  if (others.some(({ value, bitOffset }) => value !== first.value || bitOffset !== first.bitOffset)) {
    throw new BtfError(
      'BTF_AMBIGUOUS',
      `cannot relocate an access to ${rootName}: ${answers.length} types of that name differ in it`,
    );
  }
  return {
    expected: question.expected,
    value: first.value,
    ...(question.access !== undefined && { access: { local: question.access, target: first.access } }),
  };
}

interface Question {
  readonly expected: bigint | undefined;
  /** The value where nothing of that name fits. */
  readonly absent: bigint | undefined;
  readonly access?: FieldValue['access'];
  /** undefined if the candidate does not fit. */
  ask(btf: Btf, id: number): Answer | undefined;
}

type Asker = (kind: CoreKind, relocation: CoreRelocation, local: Btf) => Question;

const QUESTIONS: Readonly<Record<CoreKind['about'], Asker>> = {
  field: askField,
  type: askType,
  enumerator: askEnumerator,
};

function askField({ asks }: CoreKind, { type, access }: CoreRelocation, local: Btf): Question {
  const path = readCorePath(local, type, access);
  const find = (btf: Btf, id: number) => findCorePath(path, btf, id);
  if (asks === 'exists') {
    return { expected: 1n, absent: 0n, ask: (btf, id) => answerIf(find(btf, id), () => ({ value: 1n })) };
  }
  const own = fieldValue(asks as Parameters<typeof fieldValue>[0], path);
  return {
    expected: own.isCertain ? BigInt(own.value) : undefined,
    absent: undefined,
    access: own.access,
    ask: (btf, id) =>
      answerIf(find(btf, id), (found) => {
        const { value, access: field } = fieldValue(asks as Parameters<typeof fieldValue>[0], found);
        return { value: BigInt(value), access: field, bitOffset: found.bitOffset };
      }),
  };
}

function askType({ asks }: CoreKind, { type, access }: CoreRelocation, local: Btf): Question {
  if (readCoreIndex(access) !== 0) throw bad(`the access to a type is '${access}', wanted '0'`);
  const isFit = asks === 'matches' ? doTypesMatch : areTypesCompatible;
  const answerOf = (btf: Btf, id: number): bigint =>
    asks === 'size' ? BigInt(btf.sizeOf(id)) : asks === 'targetId' ? BigInt(id) : 1n;
  return {
    // Compilers write what they like for an id that nobody knows yet.
    expected: asks === 'targetId' ? undefined : answerOf(local, type),
    absent: 0n,
    ask: (btf, id) => (isFit({ btf: local, id: type }, { btf, id }) ? { value: answerOf(btf, id) } : undefined),
  };
}

function askEnumerator({ asks }: CoreKind, { type, access }: CoreRelocation, local: Btf): Question {
  const enumeration = local.resolve(type);
  const own = 'enumerators' in enumeration ? enumeration.enumerators[readCoreIndex(access)] : undefined;
  if (own === undefined) throw bad(`enumerator ${access} of a ${enumeration.kind}`);
  const name = essentialName(own.name);
  const word = (value: bigint): bigint => (asks === 'exists' ? 1n : BigInt.asUintN(64, value));
  return {
    expected: word(own.value),
    absent: asks === 'exists' ? 0n : undefined,
    ask(btf, id) {
      const target = btf.resolve(id);
      const found =
        'enumerators' in target ? target.enumerators.find((e) => essentialName(e.name) === name) : undefined;
      return answerIf(found, ({ value }) => ({ value: word(value) }));
    },
  };
}

function answerIf<T>(found: T | undefined, answer: (found: T) => Answer): Answer | undefined {
  return found === undefined ? undefined : answer(found);
}

/** What a relocation is about, for messages: `struct task_struct, 0:5`, or the field by its name. */
export function describeCore({ type, access, kind }: CoreRelocation, local: Btf): string {
  const root = local.type(type);
  const name = `${root.kind} ${'name' in root ? root.name : ''}`;
  if (CORE_FIELD_KINDS.has(kind)) return name + fieldNames(readCorePath(local, type, access));
  const enumeration = local.resolve(type);
  const enumerator = 'enumerators' in enumeration ? enumeration.enumerators[readCoreIndex(access)] : undefined;
  return enumerator === undefined ? name : `${name}.${enumerator.name}`;
}

const CORE_FIELD_KINDS: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5]);

function fieldNames({ steps }: CorePath): string {
  return steps
    .slice(1)
    .map((step) => (step.kind === 'member' ? `.${step.member.name}` : `[${step.index}]`))
    .join('');
}

function bad(what: string): BtfError {
  return new BtfError('BTF_BAD_RELOCATION', `cannot resolve a CO-RE relocation: ${what}`);
}
