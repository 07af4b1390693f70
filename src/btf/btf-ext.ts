/**
 * BTF.ext: what the types alone do not say about code: which function begins where, which source line an instruction
 * came from, which accesses are to be relocated by the BTF of the machine it runs on.
 * Source: Linux Documentation/bpf/btf.rst, "The .BTF.ext section".
 */
import { type Struct, struct, type Values, viewOf } from '../bytes/struct.ts';
import type { Btf } from './btf.ts';
import { BtfError } from './errors.ts';
import { BtfExtHeader, readHeader, slice } from './header.ts';

/** A function's type. */
export interface FunctionInfo {
  /** Bytes from the start of the section. */
  readonly offset: number;
  /** Id of a `func`. */
  readonly type: number;
}

/** The source line that the instruction at `offset`, and those up to the next record, came from. */
export interface LineInfo {
  /** Bytes from the start of the section. */
  readonly offset: number;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

/** One CO-RE relocation, as recorded. */
export interface CoreRelocation {
  /** Bytes from the start of the section. */
  readonly offset: number;
  /** Id of the type that is accessed. */
  readonly type: number;
  /** The path into it, as in '0:1:2'. @throws {BtfError} BTF_BAD_STRING */
  readonly access: string;
  /** The kernel's `enum bpf_core_relo_kind`. */
  readonly kind: number;
}

/** Records by the name of the code section they belong to. */
export interface BtfExt {
  readonly functions: ReadonlyMap<string, readonly FunctionInfo[]>;
  readonly lines: ReadonlyMap<string, readonly LineInfo[]>;
  readonly relocations: ReadonlyMap<string, readonly CoreRelocation[]>;
}

const FunctionRow = struct('bpf_func_info', 8, { offset: 'u32', type: 'u32' });
const LINE_FIELDS = { offset: 'u32', file: 'u32', text: 'u32', position: 'u32' } as const;
const LineRow = struct('bpf_line_info', 16, LINE_FIELDS);
const RELOCATION_FIELDS = { offset: 'u32', type: 'u32', access: 'u32', kind: 'u32' } as const;
const RelocationRow = struct('bpf_core_relo', 16, RELOCATION_FIELDS);
const SectionHead = struct('btf_ext_info_sec', 8, { name: 'u32', count: 'u32' });
/** What headers of 32 bytes and more add. */
const RelocationHead = struct('btf_ext_header tail', 8, { offset: 'u32', size: 'u32' });

/**
 * Reads a .BTF.ext section.
 *
 * @param btf the types of the same object
 * @throws {BtfError} BTF_TRUNCATED, BTF_BAD_MAGIC, BTF_BAD_HEADER, BTF_BAD_STRING, BTF_TOO_LARGE
 */
export function readBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const header = readHeader(bytes, BtfExtHeader, 'BTF.ext');
  const body = bytes.subarray(header.headerSize);
  const relocations =
    header.headerSize >= BtfExtHeader.size + RelocationHead.size
      ? RelocationHead.read(bytes, BtfExtHeader.size)
      : { offset: 0, size: 0 };

  const functions = slice(body, header.functionsOffset, header.functionsSize, 'function info');
  const lines = slice(body, header.linesOffset, header.linesSize, 'line info');
  return {
    functions: readInfo(functions, FunctionRow, btf, 'function info', (row) => row),
    lines: readInfo(lines, LineRow, btf, 'line info', (row) => new LineRecord(row, btf)),
    relocations: readInfo(
      slice(body, relocations.offset, relocations.size, 'CO-RE relocations'),
      RelocationRow,
      btf,
      'CO-RE relocations',
      (row) => new RelocationRecord(row, btf),
    ),
  };
}

/** Far above what the names of all sections of an object take: they bound the memory that those of a hostile one can. */
const MAX_NAMES = 1 << 24;

/** Record size, then per code section: its name, how many records, the records. */
function readInfo<R extends Parameters<typeof struct>[2], T>(
  bytes: Uint8Array,
  row: Struct<R>,
  btf: Btf,
  what: string,
  read: (values: Values<R>) => T,
): ReadonlyMap<string, readonly T[]> {
  const sections = new Map<string, T[]>();
  if (bytes.length === 0) return sections;
  const recordSize = viewOf(slice(bytes, 0, 4, what)).getUint32(0, true);
  if (recordSize < row.size || recordSize % 4 !== 0) {
    throw new BtfError(
      'BTF_BAD_HEADER',
      `cannot read ${what}: records of ${recordSize} bytes, wanted ${row.size} or more`,
    );
  }
  let named = 0;
  for (let at = 4; at < bytes.length; ) {
    const head = SectionHead.read(slice(bytes, at, SectionHead.size, what));
    const records = slice(bytes, at + SectionHead.size, head.count * recordSize, what);
    if (head.count === 0) throw new BtfError('BTF_BAD_HEADER', `cannot read ${what}: a section of no records at ${at}`);
    const name = btf.text(head.name);
    named += name.length;
    if (named > MAX_NAMES) {
      throw new BtfError(
        'BTF_TOO_LARGE',
        `cannot read ${what}: names of sections of more than ${MAX_NAMES} characters`,
      );
    }
    const known = sections.get(name) ?? [];
    for (let i = 0; i < head.count; i++) known.push(read(row.read(records, i * recordSize)));
    sections.set(name, known);
    at += SectionHead.size + records.length;
  }
  return sections;
}

/** Texts are decoded when read: thousands of records may share one long line. */
class LineRecord implements LineInfo {
  readonly offset: number;
  readonly line: number;
  readonly column: number;
  readonly #btf: Btf;
  readonly #file: number;
  readonly #text: number;

  /** @throws {BtfError} BTF_BAD_STRING */
  constructor(row: Values<typeof LINE_FIELDS>, btf: Btf) {
    const last = Math.max(row.file, row.text);
    if (last >= btf.stringsSize) {
      throw new BtfError(
        'BTF_BAD_STRING',
        `cannot read line info: a text at ${last}, the strings end at ${btf.stringsSize}`,
      );
    }
    this.offset = row.offset;
    this.line = row.position >>> 10;
    this.column = row.position & 0x3ff;
    this.#btf = btf;
    this.#file = row.file;
    this.#text = row.text;
  }

  get file(): string {
    return textOf(this.#btf, this.#file);
  }

  get text(): string {
    return textOf(this.#btf, this.#text);
  }
}

/** A text for a message; none that is too long for one. */
function textOf(btf: Btf, offset: number): string {
  try {
    return btf.text(offset);
  } catch (error) {
    if (error instanceof BtfError) return '';
    throw error;
  }
}

/** The access is decoded when read: many may share one long text that is none. */
class RelocationRecord implements CoreRelocation {
  readonly offset: number;
  readonly type: number;
  readonly kind: number;
  readonly #btf: Btf;
  readonly #access: number;

  constructor({ offset, type, kind, access }: Values<typeof RELOCATION_FIELDS>, btf: Btf) {
    this.offset = offset;
    this.type = type;
    this.kind = kind;
    this.#btf = btf;
    this.#access = access;
  }

  get access(): string {
    return this.#btf.text(this.#access);
  }
}
