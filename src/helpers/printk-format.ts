/**
 * The format language of bpf_trace_printk. Source: Linux 6.1 kernel/bpf/helpers.c bpf_bprintf_prepare; of its pointer
 * formats those that need no kernel: %p %px %pK %pks %pus.
 */

/** The most a format prints, as in the kernel. */
const MAX_LENGTH = 1023;

/** Flags, width, and one of: string, pointer, character, integer with its length. A lone `%` matches without groups. */
const CONVERSION =
  /%(?:(?<percent>%)|(?<flags>[0+\- ]*)(?<width>[1-9]\d*)?(?:(?<string>p[ku]s|s)|(?<pointer>p[xK]?)(?![A-Za-z\d])|(?<character>c)|(?<long>l{0,2})(?<integer>[diuxX])))?/g;

/** The groups of CONVERSION; those that did not take part are undefined. */
type Conversion = Partial<
  Record<'percent' | 'flags' | 'width' | 'string' | 'pointer' | 'character' | 'long' | 'integer', string>
>;

/**
 * The text that the kernel would print, undefined if it would refuse the format with EINVAL.
 *
 * @param readString reads a string of the program's process for `%s`; undefined prints as nothing
 */
export function formatPrintk(
  format: string,
  args: readonly bigint[],
  readString: (address: bigint) => string | undefined,
): string | undefined {
  if (/[^\t-\r\x20-\x7e]/.test(format)) return undefined;
  const left = [...args];
  let refused = false;
  const text = format.replace(CONVERSION, (...match) => {
    const conversion: Conversion = match.at(-1);
    if (conversion.percent !== undefined) return '%';
    const arg = left.shift();
    if (conversion.flags === undefined || arg === undefined) refused = true;
    return refused ? '' : convert(conversion, arg!, readString);
  });
  return refused ? undefined : text.slice(0, MAX_LENGTH);
}

function convert(conversion: Conversion, arg: bigint, readString: (address: bigint) => string | undefined): string {
  const { flags = '', string, pointer, character } = conversion;
  const width = Math.min(Number(conversion.width ?? 0), MAX_LENGTH);
  const pad = (text: string) => (flags.includes('-') ? text.padEnd(width) : text.padStart(width));
  if (string !== undefined) return pad(readString(arg) ?? '');
  if (character !== undefined) return pad(String.fromCharCode(Number(arg & 0xffn)));
  if (pointer !== undefined) return pad(pointer === 'px' ? arg.toString(16) : arg.toString(16).padStart(16, '0'));
  return integer(conversion, arg, width, pad);
}

function integer(
  { flags = '', long, integer: kind }: Conversion,
  arg: bigint,
  width: number,
  pad: (text: string) => string,
): string {
  const bits = long === '' ? 32 : 64;
  const signed = kind === 'd' || kind === 'i';
  const value = signed ? BigInt.asIntN(bits, arg) : BigInt.asUintN(bits, arg);
  const magnitude = value < 0n ? -value : value;
  const lower = magnitude.toString(kind === 'x' || kind === 'X' ? 16 : 10);
  const digits = kind === 'X' ? lower.toUpperCase() : lower;
  const positive = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  const sign = value < 0n ? '-' : signed ? positive : '';
  if (flags.includes('0') && !flags.includes('-')) return sign + digits.padStart(width - sign.length, '0');
  return pad(sign + digits);
}
