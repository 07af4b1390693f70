/** Numbers read from text, as the kernel reads what is written to its settings. Source: Linux kernel/bpf/helpers.c, lib/kstrtox.c. */
import { viewOf } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

/** Characters of the number that are looked at. */
const MAX_DIGITS = 63;
const BASES: readonly number[] = [0, 8, 10, 16];
const [TAB, CARRIAGE_RETURN, SPACE, NO_BREAK_SPACE] = [9, 13, 32, 160];
const [MINUS, ZERO, LETTER_A, LETTER_X, TO_LOWER] = [0x2d, 0x30, 0x61, 0x78, 0x20];
const LIMIT = 1n << 64n;
const SIGN = 1n << 63n;

/** long bpf_strtol(const char *text, u64 size, u64 base, long *to): how many characters it took, or -EINVAL, -ERANGE */
export const strtol = parserRow(105, 'bpf_strtol', 'signed');
/** long bpf_strtoul(const char *text, u64 size, u64 base, u64 *to): -EINVAL for a minus, too */
export const strtoul = parserRow(106, 'bpf_strtoul', 'unsigned');

function parserRow(id: number, name: Helper['name'], kind: 'signed' | 'unsigned'): Helper {
  return {
    id,
    name,
    args: ['memRead', 'memSize', 'scalar', 'wordWrite'],
    returns: 'scalar',
    requires: [],
    run({ memory }, [text, size, base, to]) {
      if (base! > 16n || !BASES.includes(Number(base))) return result(-Errno.EINVAL);
      const parsed = parse(memory.view(text!, Number(size)), Number(base));
      if (typeof parsed === 'number') return result(parsed);
      const { value, isNegative, taken } = parsed;
      if (isNegative && kind === 'unsigned') return result(-Errno.EINVAL);
      if (kind === 'signed' && value > (isNegative ? SIGN : SIGN - 1n)) return result(-Errno.ERANGE);
      viewOf(memory.view(to!, 8)).setBigUint64(0, BigInt.asUintN(64, isNegative ? -value : value), true);
      return BigInt(taken);
    },
    emit(b, [text, size, base, to], context) {
      const body = (fn: Builder, params: Value[]) => emitParser(fn, params, kind);
      return b.call(context.shared(name, 4, body), [text!, size!, base!, to!]);
    },
  };
}

interface Parsed {
  readonly value: bigint;
  readonly isNegative: boolean;
  readonly taken: number;
}

/** The number that `text` begins with, or a negative errno. */
function parse(text: Uint8Array, base: number): Parsed | number {
  let at = 0;
  while (at < text.length && isSpace(text[at]!)) at++;
  const isNegative = text[at] === MINUS;
  if (isNegative) at++;
  if (at >= text.length) return -Errno.EINVAL;
  const digits = text.subarray(at, at + MAX_DIGITS);
  const hasPrefix = digits[0] === ZERO && ((digits[1] ?? 0) | TO_LOWER) === LETTER_X;
  const isHex = base === 16 || (base === 0 && hasPrefix && digit(digits[2] ?? 0) < 16);
  const radix = isHex ? 16 : base || (digits[0] === ZERO ? 8 : 10);
  let place = isHex && hasPrefix ? 2 : 0;
  const first = place;
  let value = 0n;
  let isTooLarge = false;
  for (; place < digits.length; place++) {
    const next = digit(digits[place]!);
    if (next >= radix) break;
    value = value * BigInt(radix) + BigInt(next);
    isTooLarge ||= value >= LIMIT;
  }
  if (isTooLarge) return -Errno.ERANGE;
  return place === first ? -Errno.EINVAL : { value, isNegative, taken: at + place };
}

function isSpace(byte: number): boolean {
  return (byte >= TAB && byte <= CARRIAGE_RETURN) || byte === SPACE || byte === NO_BREAK_SPACE;
}

/** What a character counts for; at least 16 if it is no digit. */
function digit(byte: number): number {
  const letter = (byte | TO_LOWER) - LETTER_A;
  if (byte - ZERO >= 0 && byte - ZERO < 10) return byte - ZERO;
  return letter >= 0 && letter < 6 ? letter + 10 : 16;
}

/** (text, size, base, to) -> characters taken or a negative errno. The steps are those of `parse`. */
function emitParser(b: Builder, [text, size, base, to]: Value[], kind: 'signed' | 'unsigned'): void {
  const refuse = (condition: Value, errno: number) => b.when(condition, () => b.return(-errno), 'cold');
  const isBase = BASES.map((one) => b.compare('eq', base!, one)).reduce((a, one) => b.or(a, one));
  refuse(b.compare('eq', isBase, 0), Errno.EINVAL);
  const [start] = b.loop([b.const(0)], 1, (loop, [at]) => {
    refuse(b.compare('eq', at!, size!), Errno.EINVAL);
    const byte = b.load(1, b.add(text!, at!));
    const isControl = b.compare('ule', b.sub(byte, TAB), CARRIAGE_RETURN - TAB);
    const isBlank = b.or(b.compare('eq', byte, SPACE), b.compare('eq', byte, NO_BREAK_SPACE));
    b.when(b.compare('eq', b.or(isControl, isBlank), 0), () => loop.leave(at!));
    loop.next(b.add(at!, 1));
  }) as [Value];
  const isNegative = b.compare('eq', b.load(1, b.add(text!, start)), MINUS);
  const first = b.add(start, isNegative);
  const left = b.sub(size!, first);
  refuse(b.compare('eq', left, 0), Errno.EINVAL);
  const length = b.select(b.compare('ult', left, MAX_DIGITS), left, MAX_DIGITS);
  const digits = b.add(text!, first);
  /** Behind the end there are zero bytes. */
  const byteAt = (at: number): Value =>
    b.choose(
      b.compare('ugt', length, at),
      () => b.load(1, digits, at),
      () => 0,
    );
  const begins = b.compare('eq', byteAt(0), ZERO);
  const hasPrefix = b.and(begins, b.compare('eq', b.or(byteAt(1), TO_LOWER), LETTER_X));
  const isFree = b.compare('eq', base!, 0);
  const isFreeHex = b.and(b.and(isFree, hasPrefix), b.compare('ult', emitDigit(b, byteAt(2)), 16));
  const isHex = b.or(b.compare('eq', base!, 16), isFreeHex);
  const radix = b.select(isHex, 16, b.select(isFree, b.select(begins, 8, 10), base!));
  const skipped = b.select(b.and(isHex, hasPrefix), 2, 0);
  const [end, value, isTooLarge] = b.loop([skipped, b.const(0), b.const(0)], 3, (loop, [at, sum, tooLarge]) => {
    const leave = () => loop.leave(at!, sum!, tooLarge!);
    b.when(b.compare('eq', at!, length), leave);
    const next = emitDigit(b, b.load(1, b.add(digits, at!)));
    b.when(b.compare('uge', next, radix), leave);
    const overflows = b.compare('ugt', sum!, b.binary('udiv', b.binary('xor', next, -1), radix));
    loop.next(b.add(at!, 1), b.add(b.mul(sum!, radix), next), b.or(tooLarge!, overflows));
  }) as [Value, Value, Value];
  refuse(isTooLarge, Errno.ERANGE);
  refuse(b.compare('eq', end, skipped), Errno.EINVAL);
  if (kind === 'signed') {
    refuse(b.compare('ugt', value, b.add(b.const(SIGN - 1n), isNegative)), Errno.ERANGE);
    b.store(8, to!, 0, b.select(isNegative, b.unary('neg', value), value));
  } else {
    refuse(isNegative, Errno.EINVAL);
    b.store(8, to!, 0, value);
  }
  b.return(b.add(first, end));
}

function emitDigit(b: Builder, byte: Value): Value {
  const number = b.sub(byte, ZERO);
  const letter = b.sub(b.or(byte, TO_LOWER), LETTER_A);
  const ofLetter = b.select(b.compare('ult', letter, 6), b.add(letter, 10), 16);
  return b.select(b.compare('ult', number, 10), number, ofLetter);
}
