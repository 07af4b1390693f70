/**
 * Verifier cases as text, many to a file:
 *
 *     # What the file is about.
 *
 *     == an index that a comparison bounds
 *     pre: r6 = value array, r7 = any
 *         jgt r7, 40, out
 *         add r6, r7
 *         ldxdw r0, [r6]
 *         out: mov r0, 0
 *         exit
 *     post: r0=0
 *
 * `pre` says the kind of program (uprobe without) and what registers hold when the code begins; r1 is the context, and
 * r9 too where something had to be called. `post` is what registers hold at an exit, by the kernel's notation, or nothing
 * for "accepted"; `message` is a part of the refusal. `kernel: differs, WHY` stands where the kernel says otherwise.
 */
import { assemble } from '../../src/insn/assemble.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { kernelFunctionNumber } from '../../src/insn/kernel-functions.ts';
import { LddwKind } from '../../src/insn/opcode.ts';
import type { MapSpec } from '../../src/maps/map-type.ts';
import type { Reference } from '../../src/object/spec.ts';
import type { ProgramKind } from '../../src/verifier/program-kind.ts';
import type { VerifierSubject } from './verifier-subject.ts';

/** One case. */
export interface VerifierCase {
  readonly name: string;
  /** 1-based, where the case begins. */
  readonly line: number;
  readonly subject: VerifierSubject;
  /** Registers at an exit -> what they hold there; undefined if it is to be refused. */
  readonly post: ReadonlyMap<string, string> | undefined;
  /** What the refusal says; undefined if it is to be accepted. */
  readonly message: string | undefined;
  /** Why the kernel's verdict is another one. */
  readonly kernelDiffers: string | undefined;
}

const NO_BTF = { keyTypeId: 0, valueTypeId: 0 };
const FROZEN = { type: 2, keySize: 4, valueSize: 16, maxEntries: 1, flags: 0x80, ...NO_BTF };
const INNER: MapSpec = { name: 'inner', type: 2, keySize: 4, valueSize: 48, maxEntries: 4, flags: 0, ...NO_BTF };

/** The maps that cases name. */
export const CASE_MAPS: readonly MapSpec[] = [
  { name: 'array', type: 2, keySize: 4, valueSize: 48, maxEntries: 4, flags: 0, ...NO_BTF },
  { name: 'hash', type: 1, keySize: 8, valueSize: 16, maxEntries: 4, flags: 0, ...NO_BTF },
  { name: 'data', type: 2, keySize: 4, valueSize: 48, maxEntries: 1, flags: 0, ...NO_BTF },
  { name: 'single', type: 2, keySize: 4, valueSize: 1, maxEntries: 1, flags: 0, ...NO_BTF },
  { name: 'large', type: 2, keySize: 4, valueSize: 4096, maxEntries: 1, flags: 0, ...NO_BTF },
  { name: 'readonly', type: 2, keySize: 4, valueSize: 24, maxEntries: 2, flags: 0x80, ...NO_BTF },
  { name: 'writeonly', type: 2, keySize: 4, valueSize: 24, maxEntries: 2, flags: 0x100, ...NO_BTF },
  {
    ...FROZEN,
    name: 'constants',
    initialValue: Uint8Array.of(7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 40, 0, 0, 0, 0, 0, 0, 0x80),
  },
  { ...FROZEN, name: 'formats', initialValue: Buffer.from('%d %lu\0\0%q\0\0  %d', 'latin1') },
  { name: 'ring', type: 27, keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0, ...NO_BTF },
  { name: 'user', type: 31, keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0, ...NO_BTF },
  { name: 'programs', type: 3, keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, ...NO_BTF },
  { name: 'events', type: 4, keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, ...NO_BTF },
  { name: 'maps', type: 12, keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, ...NO_BTF, innerMap: INNER },
];

/** Reads a file of cases. @throws {Error} naming the line that makes no sense */
export function parseCases(text: string): VerifierCase[] {
  const lines = text.split('\n');
  const starts = lines.flatMap((line, index) => (line.startsWith('== ') ? [index] : []));
  return starts.map((start, index) => parseCase(lines.slice(start, starts[index + 1] ?? lines.length), start + 1));
}

function parseCase([title, ...lines]: readonly string[], line: number): VerifierCase {
  const name = title!.slice(3).trim();
  const fields = new Map<string, string>();
  const code: string[] = [];
  for (const text of lines) {
    const field = /^(pre|post|message|kernel):\s*(.*)$/.exec(text);
    if (field !== null) fields.set(field[1]!, field[2]!);
    else if (/^\s/.test(text)) code.push(text);
    else if (text !== '' && !text.startsWith('#')) throw new Error(`line ${line}, case '${name}': what is '${text}'?`);
  }
  const message = fields.get('message');
  if (fields.has('post') === (message !== undefined)) {
    throw new Error(`line ${line}, case '${name}': wanted post or message`);
  }
  const { type, prologue } = parsePre(fields.get('pre') ?? '');
  return {
    name,
    line,
    subject: { ...assembleCase(name, [...prologue, ...code].map(withKernelFunctions)), maps: CASE_MAPS, type },
    post: message === undefined ? parsePost(fields.get('post')!) : undefined,
    message,
    kernelDiffers: fields.get('kernel')?.replace(/^differs,\s*/, ''),
  };
}

function parsePost(text: string): Map<string, string> {
  const facts = text.matchAll(/(r\d+)=(scalar\((?:[^()]|\([^()]*\))*\)|\S+)/g);
  return new Map([...facts].map(([, register, what]) => [register!, what!]));
}

const KINDS: readonly string[] = ['uprobe', 'tracepoint', 'raw_tracepoint'] satisfies ProgramKind['name'][];

/** `uprobe, r6 = value array, r7 = 0..10` as the code that brings it about. */
function parsePre(text: string): { type: ProgramKind['name']; prologue: string[] } {
  let type: ProgramKind['name'] = 'uprobe';
  const called: string[] = [];
  const loaded: string[] = [];
  for (const fact of text.split(',').map((part) => part.trim())) {
    if (fact === '') continue;
    if (KINDS.includes(fact)) {
      type = fact as ProgramKind['name'];
      continue;
    }
    const [, register, kind, rest = ''] = /^(r\d) = (\S+)\s*(.*)$/.exec(fact) ?? [];
    if (register === undefined) throw new Error(`what is '${fact}'?`);
    const range = /^(-?\d+)\.\.(-?\d+)$/.exec(kind!);
    if (range !== null) {
      loaded.push(`ldxdw ${register}, [r1+8]`, `jsgt ${register}, ${range[2]}, refuted`);
      loaded.push(`jslt ${register}, ${range[1]}, refuted`);
    } else if (kind === 'any') {
      loaded.push(`ldxdw ${register}, [r1+8]`);
    } else if (kind === 'value' || kind === 'value-or-null') {
      // A key that nobody knows: an array has every slot that a known one names.
      called.push('call 7', 'stxdw [r10-8], r0', 'mov r2, r10', 'add r2, -8', `map r1, ${rest}`, 'call 1');
      if (kind === 'value') called.push('jeq r0, 0, refuted');
      if (register !== 'r0') called.push(`mov ${register}, r0`);
    } else if (kind === 'reserved') {
      called.push('map r1, ring', `mov r2, ${rest}`, 'mov r3, 0', 'call 131', 'jeq r0, 0, refuted');
      if (register !== 'r0') called.push(`mov ${register}, r0`);
    } else {
      throw new Error(`what is '${fact}'?`);
    }
  }
  const around = called.length > 0 ? ['mov r9, r1', ...called, 'mov r1, r9'] : [];
  const all = [...around, ...loaded];
  // Where a fact does not hold there is nothing to say.
  const refuted = all.some((line) => line.endsWith('refuted'))
    ? ['ja begin', 'refuted: mov r0, 0', 'exit', 'begin:']
    : [];
  return { type, prologue: [...all, ...refuted] };
}

const MAP = /^(\s*(?:\w+:\s*)*)map (r\d+), (\w+)/;
const VALUE = /^(\s*(?:\w+:\s*)*)mapvalue (r\d+), (\w+)(?:\+(\d+))?/;
const FUNCTION = /^(\s*(?:\w+:\s*)*)function (r\d+), (\w+)/;

/** `call bpf_iter_num_new` as the call of a kernel function by its number. */
function withKernelFunctions(line: string): string {
  return line.replace(/\bcall (bpf_\w+)/, (_, name: string) => `call kfunc ${kernelFunctionNumber(name)}, 0`);
}

/** Assembles what the assembler knows, and `map r1, NAME`, `mapvalue r1, NAME+8`, `function r2, LABEL`. */
function assembleCase(name: string, lines: readonly string[]): Pick<VerifierSubject, 'program'> {
  const insns = assemble(
    lines
      .map((line) => line.replace(MAP, '$1lddw $2, 0').replace(VALUE, '$1lddw $2, 0').replace(FUNCTION, '$1lddw $2, 0'))
      .join('\n'),
  );
  // The same, with a jump of two slots where a function is loaded: that is how labels become distances.
  const distances = new Map(
    assemble(
      lines
        .map((line) =>
          line.replace(MAP, '$1lddw $2, 0').replace(VALUE, '$1lddw $2, 0').replace(FUNCTION, '$1ja32 $3\nja +0'),
        )
        .join('\n'),
    ).map((insn) => [insn.slot, insn.imm]),
  );
  const statements = lines.filter(
    (line) =>
      line
        .replace(/[#;].*/, '')
        .replace(/^\s*(?:\w+:\s*)*/, '')
        .trim() !== '',
  );
  const references = new Map<number, Reference>();
  const starts = new Set([0]);
  const linked = insns.map((insn, index): Insn => {
    const line = statements[index]!;
    const map = MAP.exec(line);
    const value = VALUE.exec(line);
    if (map !== null) {
      references.set(index, { kind: 'map', map: map[3]! });
      return { ...insn, src: LddwKind.MAP_FD };
    }
    if (value !== null) {
      const offset = Number(value[4] ?? 0);
      references.set(index, { kind: 'mapValue', map: value[3]!, offset });
      return { ...insn, src: LddwKind.MAP_FD_VALUE, imm64: BigInt(offset) << 32n };
    }
    const isCall = insn.opcode === 0x85 && insn.src === 1;
    if (!FUNCTION.test(line) && !isCall) return insn;
    const distance = isCall ? insn.imm : distances.get(insn.slot)!;
    const to = insns.findIndex(({ slot }) => slot === insn.slot + 1 + distance);
    starts.add(to);
    if (isCall) return insn;
    references.set(index, { kind: 'function', insn: to });
    return { ...insn, src: LddwKind.FUNCTION, imm: distance, imm64: BigInt.asUintN(32, BigInt(distance)) };
  });
  const subprograms = [...starts]
    .sort((a, b) => a - b)
    .map((start, index) => ({ name: index === 0 ? 'main' : `f${index}`, start, linkage: 'static' as const }));
  return {
    program: { name: name.replace(/\W+/g, '_'), section: '', insns: linked, references, subprograms, lines: new Map() },
  };
}
