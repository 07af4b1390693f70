/** The heads of .BTF and .BTF.ext. Source: Linux include/uapi/linux/btf.h, tools/lib/bpf/libbpf_internal.h. */
import { type Fields, type Struct, struct, type Values } from '../bytes/struct.ts';
import { BtfError } from './errors.ts';

const MAGIC = 0xeb9f;
const VERSION = 1;

/** struct btf_header. */
export const BtfHeader = struct('btf_header', 24, {
  magic: 'u16',
  version: 'u8',
  flags: 'u8',
  headerSize: 'u32',
  typesOffset: 'u32',
  typesSize: 'u32',
  stringsOffset: 'u32',
  stringsSize: 'u32',
});

/** struct btf_ext_header, as far as every version has it. */
export const BtfExtHeader = struct('btf_ext_header', 24, {
  magic: 'u16',
  version: 'u8',
  flags: 'u8',
  headerSize: 'u32',
  functionsOffset: 'u32',
  functionsSize: 'u32',
  linesOffset: 'u32',
  linesSize: 'u32',
});

type Common = Fields & { readonly magic: 'u16'; readonly version: 'u8'; readonly headerSize: 'u32' };

/**
 * Reads and checks a head; offsets in it count from `headerSize`.
 *
 * @throws {BtfError} BTF_TRUNCATED, BTF_BAD_MAGIC, BTF_BAD_HEADER
 */
export function readHeader<F extends Common>(bytes: Uint8Array, head: Struct<F>, what: string): Values<F> {
  if (bytes.length < head.size) {
    throw new BtfError(
      'BTF_TRUNCATED',
      `cannot read ${what}: ${bytes.length} bytes, the header alone has ${head.size}`,
    );
  }
  const header = head.read(bytes);
  const { magic, version, headerSize } = header as Values<Common>;
  if (magic !== MAGIC) {
    throw new BtfError('BTF_BAD_MAGIC', `cannot read ${what}: it starts with 0x${magic.toString(16)}, wanted 0xeb9f`);
  }
  if (version !== VERSION || headerSize < head.size || headerSize > bytes.length) {
    throw new BtfError(
      'BTF_BAD_HEADER',
      `cannot read ${what}: version ${version}, header of ${headerSize} bytes, wanted version 1 and ${head.size} to ${bytes.length} bytes`,
    );
  }
  return header;
}

/**
 * `size` bytes at `offset`, not copied.
 *
 * @throws {BtfError} BTF_TRUNCATED
 */
export function slice(bytes: Uint8Array, offset: number, size: number, what: string): Uint8Array {
  if (offset + size > bytes.length) {
    throw new BtfError('BTF_TRUNCATED', `cannot read ${what}: ${size} bytes at ${offset}, there are ${bytes.length}`);
  }
  return bytes.subarray(offset, offset + size);
}
