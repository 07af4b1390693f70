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
  /** The path into it, as in '0:1:2'. */
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
const LineRow = struct('bpf_line_info', 16, { offset: 'u32', file: 'u32', text: 'u32', position: 'u32' });
const RelocationRow = struct('bpf_core_relo', 16, { offset: 'u32', type: 'u32', access: 'u32', kind: 'u32' });
const SectionHead = struct('btf_ext_info_sec', 8, { name: 'u32', count: 'u32' });
/** What headers of 32 bytes and more add. */
const RelocationHead = struct('btf_ext_header tail', 8, { offset: 'u32', size: 'u32' });

/**
 * Reads a .BTF.ext section.
 *
 * @param btf the types of the same object
 * @throws {BtfError} BTF_TRUNCATED, BTF_BAD_MAGIC, BTF_BAD_HEADER, BTF_BAD_STRING
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
    lines: readInfo(lines, LineRow, btf, 'line info', (row) => readLine(row, btf)),
    relocations: readInfo(
      slice(body, relocations.offset, relocations.size, 'CO-RE relocations'),
      RelocationRow,
      btf,
      'CO-RE relocations',
      (row) => ({ ...row, access: btf.text(row.access) }),
    ),
  };
}

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
  for (let at = 4; at < bytes.length; ) {
    const head = SectionHead.read(slice(bytes, at, SectionHead.size, what));
    const records = slice(bytes, at + SectionHead.size, head.count * recordSize, what);
    const name = btf.text(head.name);
    const known = sections.get(name) ?? [];
    for (let i = 0; i < head.count; i++) known.push(read(row.read(records, i * recordSize)));
    sections.set(name, known);
    at += SectionHead.size + records.length;
  }
  return sections;
}

/** Texts are decoded when read: thousands of records may share one long line. */
function readLine(row: Values<{ offset: 'u32'; file: 'u32'; text: 'u32'; position: 'u32' }>, btf: Btf): LineInfo {
  const last = Math.max(row.file, row.text);
  if (last >= btf.stringsSize) {
    throw new BtfError(
      'BTF_BAD_STRING',
      `cannot read line info: a text at ${last}, the strings end at ${btf.stringsSize}`,
    );
  }
  return {
    offset: row.offset,
    line: row.position >>> 10,
    column: row.position & 0x3ff,
    get file() {
      return btf.text(row.file);
    },
    get text() {
      return btf.text(row.text);
    },
  };
}
