/**
 * The common case of a window, without iced-x86: instructions that do the same anywhere and care for no flags. Most functions
 * begin with such; whatever is not certain is left to window.ts.
 */
import { Kind, LengthDecoder } from './length.ts';

/**
 * The lengths of the instructions at the start of `code` that cover `size` bytes; undefined if one of them takes a closer
 * look.
 */
export function plainLengths(code: Uint8Array, size: number): readonly number[] | undefined {
  const decoder = new LengthDecoder(code);
  const lengths: number[] = [];
  for (let at = 0; at < size; at += lengths.at(-1)!) {
    const length = decoder.decode(at);
    if (length === 0 || decoder.kind !== Kind.PLAIN || mayReadFlags(code, at)) return undefined;
    lengths.push(length);
  }
  return lengths;
}

/** Opcodes that read flags, or may, by their ModRM or for a string's direction: Intel SDM vol. 2, appendix A. */
const ONE_BYTE = ranges([
  [0x10, 0x15], // adc
  [0x18, 0x1d], // sbb
  [0x6c, 0x6f], // ins, outs
  [0x9c, 0x9c], // pushf
  [0x9f, 0x9f], // lahf
  [0xa4, 0xa7], // movs, cmps
  [0xaa, 0xaf], // stos, lods, scas
  [0xda, 0xdb], // fcmovcc
  [0xf5, 0xf5], // cmc
]);
const TWO_BYTE = ranges([
  [0x38, 0x38], // adcx, adox
  [0x40, 0x4f], // cmovcc
  [0x90, 0x9f], // setcc
]);
/** adc and sbb, or rcl and rcr, are the operations 2 and 3 of these. */
const GROUPS = ranges([
  [0x80, 0x83],
  [0xc0, 0xc1],
  [0xd0, 0xd3],
]);

function mayReadFlags(code: Uint8Array, start: number): boolean {
  let at = start;
  while (isPrefix(code[at]!)) at++;
  const opcode = code[at]!;
  if (opcode === 0x0f) return TWO_BYTE.has(code[at + 1]!);
  if (!GROUPS.has(opcode)) return ONE_BYTE.has(opcode);
  return ((code[at + 1]! >> 3) & 6) === 2;
}

/** Of operands, segments, locks, and REX. */
function isPrefix(byte: number): boolean {
  return (
    byte >> 4 === 4 ||
    byte >> 1 === 0x33 ||
    byte >> 1 === 0x32 ||
    (byte & 0xe7) === 0x26 ||
    byte === 0xf0 ||
    byte >> 1 === 0x79
  );
}

function ranges(bounds: readonly (readonly [first: number, last: number])[]): ReadonlySet<number> {
  return new Set(bounds.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => first + n)));
}
