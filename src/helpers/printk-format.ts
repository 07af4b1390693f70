/**
 * The format language of bpf_trace_printk and bpf_snprintf. Source: Linux 6.1 kernel/bpf/helpers.c bpf_bprintf_prepare; of its
 * pointer formats those that need no kernel: %p %px %pK %pks %pus.
 */

/** The most a format prints into a trace, as in the kernel. */
const MAX_TRACE = 1023;
/** No width is larger than that. */
const MAX_WIDTH = 1023;
/** The longest string that %s prints, as in the kernel. */
export const MAX_STRING = 511;
/** Digits of an address. */
const ADDRESS_DIGITS = 16;

/** Flags, width, and one of: string, pointer, character, integer with its length. A lone `%` matches without groups. */
const CONVERSION =
  /%(?:(?<percent>%)|(?<flags>[0+\- ]*)(?<width>[1-9]\d*)?(?:(?<string>p[ku]s|s)|(?<pointer>p[xK]?)(?![A-Za-z\d])|(?<character>c)|(?<long>l{0,2})(?<integer>[diuxX])))?/g;

/** The groups of CONVERSION; those that did not take part are undefined. */
type Groups = Partial<
  Record<'percent' | 'flags' | 'width' | 'string' | 'pointer' | 'character' | 'long' | 'integer', string>
>;

/** A part of a format: text that is printed as it stands there, from `at` on, or an argument. */
export type FormatPart = { readonly is: 'text'; readonly at: number; readonly length: number } | Conversion;

/** How an argument is printed. */
export type Conversion = (
  | { readonly is: 'string' }
  | { readonly is: 'character' }
  | {
      readonly is: 'number';
      readonly base: 10 | 16;
      readonly bits: 32 | 64;
      readonly isSigned: boolean;
      readonly isUpper: boolean;
      /** What stands in front of it if it is not negative. */
      readonly positive: '' | '+' | ' ';
      /** How many there are at least. */
      readonly digits: number;
    }
) & {
  readonly width: number;
  /** With what, and on which side, it is made as wide as that. */
  readonly fill: 'blanks before' | 'blanks behind' | 'zeros before';
};

/** What a format is made of; undefined if the kernel would refuse it with EINVAL. */
export function parseFormat(format: string): readonly FormatPart[] | undefined {
  if (/[^\t-\r\x20-\x7e]/.test(format)) return undefined;
  const parts: FormatPart[] = [];
  let at = 0;
  const text = (end: number) => {
    if (end > at) parts.push({ is: 'text', at, length: end - at });
  };
  for (const match of format.matchAll(CONVERSION)) {
    const groups: Groups = match.groups!;
    // Of two percent signs the first is printed.
    text(groups.percent === undefined ? match.index : match.index + 1);
    at = match.index + match[0].length;
    if (groups.percent !== undefined) continue;
    if (groups.flags === undefined) return undefined;
    parts.push(conversionOf(groups));
  }
  text(format.length);
  return parts;
}

/** The text that the kernel would print into its trace, which is cut; undefined if it would refuse the format with EINVAL. */
export function formatPrintk(...given: Parameters<typeof formatText>): string | undefined {
  return formatText(...given)?.slice(0, MAX_TRACE);
}

/**
 * All of the text.
 *
 * @param readString reads a string of the program's process for `%s`; undefined prints as nothing
 */
export function formatText(
  format: string,
  args: readonly bigint[],
  readString: (address: bigint) => string | undefined,
): string | undefined {
  const parts = parseFormat(format);
  const conversions = parts?.filter(({ is }) => is !== 'text').length ?? 0;
  if (parts === undefined || conversions > args.length) return undefined;
  const left = [...args];
  return parts
    .map((part) =>
      part.is === 'text' ? format.slice(part.at, part.at + part.length) : convert(part, left.shift()!, readString),
    )
    .join('');
}

function conversionOf({ flags = '', width, string, pointer, character, long, integer }: Groups): Conversion {
  const fill = flags.includes('-') ? 'blanks behind' : 'blanks before';
  const common = { width: Math.min(Number(width ?? 0), MAX_WIDTH), fill } as const;
  if (string !== undefined) return { is: 'string', ...common };
  if (character !== undefined) return { is: 'character', ...common };
  if (pointer !== undefined) {
    const digits = pointer === 'px' ? 1 : ADDRESS_DIGITS;
    return { is: 'number', base: 16, bits: 64, isSigned: false, isUpper: false, positive: '', digits, ...common };
  }
  const isSigned = integer === 'd' || integer === 'i';
  return {
    is: 'number',
    base: integer === 'x' || integer === 'X' ? 16 : 10,
    bits: long === '' ? 32 : 64,
    isSigned,
    isUpper: integer === 'X',
    positive: isSigned && flags.includes('+') ? '+' : isSigned && flags.includes(' ') ? ' ' : '',
    digits: 1,
    width: common.width,
    fill: flags.includes('0') && fill === 'blanks before' ? 'zeros before' : fill,
  };
}

function convert(conversion: Conversion, arg: bigint, readString: (address: bigint) => string | undefined): string {
  const { width, fill } = conversion;
  const pad = (text: string) => (fill === 'blanks behind' ? text.padEnd(width) : text.padStart(width));
  if (conversion.is === 'string') return pad(readString(arg) ?? '');
  if (conversion.is === 'character') return pad(String.fromCharCode(Number(arg & 0xffn)));
  const { base, bits, isSigned, isUpper, positive, digits } = conversion;
  const value = isSigned ? BigInt.asIntN(bits, arg) : BigInt.asUintN(bits, arg);
  const lower = (value < 0n ? -value : value).toString(base).padStart(digits, '0');
  const number = isUpper ? lower.toUpperCase() : lower;
  const sign = value < 0n ? '-' : positive;
  return fill === 'zeros before' ? sign + number.padStart(width - sign.length, '0') : pad(sign + number);
}
