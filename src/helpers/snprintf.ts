/**
 * bpf_snprintf: text made where the program runs. The format is known when the program is compiled, so there is no reading of it
 * there: each of its parts is code of its own. Source: Linux kernel/bpf/helpers.c.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import { HelperError } from './errors.ts';
import type { EmitContext, Helper } from './helper.ts';
import { PAGE, safeRead } from './own-memory.ts';
import { type Conversion, formatText, MAX_STRING, parseFormat } from './printk-format.ts';
import { result } from './result.ts';
import { MAX_ARGUMENTS, readArguments, readText } from './text-arguments.ts';

/** Digits of the largest number, and a word more. */
const DIGITS = 24;
/** Bytes of a string that are asked for at a time. */
const CHUNK = 64;
const [BLANK, MINUS, ZERO] = [0x20, 0x2d, 0x30];
/** From behind the digit 9 to the letters. */
const LETTERS = { lower: 39, upper: 7 } as const;

/** Where text goes: a place, its size, and how long the text is so far, whether or not there was room. Bytes. */
const Output = { to: 0, size: 8, length: 16, bytes: 24 } as const;

/** long bpf_snprintf(char *to, u32 size, const char *format, const u64 *data, u32 data_size): the length with its NUL, as if all fitted */
export const snprintf: Helper = {
  id: 165,
  name: 'bpf_snprintf',
  args: ['memWrite', 'memSizeOrZero', 'format', 'memReadOrNull', 'formatted'],
  returns: 'scalar',
  requires: ['syscall'],
  run({ memory }, [to, size, format, data, dataSize]) {
    const args = readArguments(memory, data!, dataSize!);
    const text = args && formatText(readText(memory, format!), args, (at) => readText(memory, at));
    if (text === undefined) return result(-Errno.EINVAL);
    const room = Number(BigInt.asUintN(32, size!));
    if (room > 0) memory.view(to!, room).set(Buffer.from(`${text.slice(0, room - 1)}\0`, 'latin1'));
    return BigInt(text.length + 1);
  },
  emit(b, [to, size, format, data, dataSize], context) {
    const count = argumentCount(dataSize!);
    const constant = context.constantAt(format!);
    const text = Buffer.from(constant.subarray(0, constant.indexOf(0))).toString('latin1');
    const parts = parseFormat(text);
    const conversions = parts?.filter(({ is }) => is !== 'text').length ?? 0;
    if (count === undefined || parts === undefined || conversions > count) {
      const given = count === undefined ? 'arguments of another size' : `${count} arguments`;
      throw new HelperError('HELPER_BAD_FORMAT', `cannot format '${text}' with ${given}`);
    }
    const output = b.stack(Output.bytes);
    b.store(8, output, Output.to, to!);
    b.store(8, output, Output.size, b.unary('zext32', size!));
    b.store(8, output, Output.length, 0);
    let next = 0;
    for (const part of parts) {
      if (part.is === 'text') {
        b.call(writer(context), [output, b.add(format!, part.at), b.const(part.length)]);
      } else {
        emitConversion(b, output, part, b.load(8, data!, 8 * next++), context);
      }
    }
    return b.call(context.shared('snprintf_end', 1, emitEnd), [output]);
  },
};

/** How many arguments so many bytes are; undefined if they are none, or too many. */
function argumentCount({ operation }: Value): number | undefined {
  if (operation.op !== 'const') throw new HelperError('HELPER_NOT_CONSTANT', 'the size of the data must be a constant');
  const size = Number(BigInt.asUintN(32, operation.value));
  return size % 8 === 0 && size <= 8 * MAX_ARGUMENTS ? size / 8 : undefined;
}

function emitConversion(b: Builder, output: Value, conversion: Conversion, arg: Value, context: EmitContext): void {
  const { width, fill } = conversion;
  const before = fill === 'blanks before' ? width : 0;
  const behind = b.const(fill === 'blanks behind' ? width : 0);
  const filler = context.shared('snprintf_fill', 3, emitFill);
  if (conversion.is === 'string') {
    const string = context.shared('snprintf_string', 2, (fn, params) => emitString(fn, params, context));
    // How long it is, is known when it was written: in front of it goes what the same without an output gives.
    const measured = before === 0 ? b.const(0) : b.call(string, [b.const(0), arg]);
    const padding = b.sub(b.const(before), measured);
    if (before > 0) b.when(b.compare('sgt', padding, 0), () => b.call(filler, [output, b.const(BLANK), padding]));
    const written = b.call(string, [output, arg]);
    const rest = b.sub(behind, written);
    if (fill === 'blanks behind')
      b.when(b.compare('sgt', rest, 0), () => b.call(filler, [output, b.const(BLANK), rest]));
    return;
  }
  if (conversion.is === 'character') {
    const one = b.stack(8);
    b.store(1, one, 0, arg);
    if (before > 1) b.call(filler, [output, b.const(BLANK), b.const(before - 1)]);
    b.call(writer(context), [output, one, b.const(1)]);
    if (fill === 'blanks behind' && width > 1) b.call(filler, [output, b.const(BLANK), b.const(width - 1)]);
    return;
  }
  const { base, bits, isSigned, isUpper, positive, digits } = conversion;
  const value = bits === 64 ? arg : b.unary(isSigned ? 'sext32' : 'zext32', arg);
  const isNegative = isSigned ? b.compare('slt', value, 0) : b.const(0);
  const magnitude = b.select(isNegative, b.unary('neg', value), value);
  const sign = b.select(isNegative, MINUS, positive === '' ? 0 : positive.charCodeAt(0));
  // Zeros stand between the sign and the number: as many digits as there is room for.
  const most = fill === 'zeros before' ? b.sub(b.const(width), b.compare('ne', sign, 0)) : b.const(digits);
  const letters = b.const(isUpper ? LETTERS.upper : LETTERS.lower);
  const number = context.shared(`snprintf_number${base}`, 6, (fn, params) => emitNumber(fn, params, base, context));
  const start = b.load(8, output, Output.length);
  const blanks = b.const(before);
  b.call(number, [output, magnitude, sign, most, letters, blanks]);
  if (fill !== 'blanks behind') return;
  const rest = b.sub(behind, b.sub(b.load(8, output, Output.length), start));
  b.when(b.compare('sgt', rest, 0), () => b.call(filler, [output, b.const(BLANK), rest]));
}

/** (output, from, count): what there is no room for is counted. */
function writer(context: EmitContext): IrFunction {
  return context.shared('snprintf_write', 3, (b, [output, from, count]) => {
    const [to, size] = [b.load(8, output!, Output.to), b.load(8, output!, Output.size)];
    const length = b.load(8, output!, Output.length);
    b.loop([b.const(0)], 0, (loop, [at]) => {
      b.when(b.compare('eq', at!, count!), () => loop.leave());
      const place = b.add(length, at!);
      b.when(b.compare('ult', place, size), () => b.store(1, b.add(to, place), 0, b.load(1, b.add(from!, at!))));
      loop.next(b.add(at!, 1));
    });
    b.store(8, output!, Output.length, b.add(length, count!));
    b.return(0);
  });
}

/** (output, byte, count) */
function emitFill(b: Builder, [output, byte, count]: Value[]): void {
  const [to, size] = [b.load(8, output!, Output.to), b.load(8, output!, Output.size)];
  const length = b.load(8, output!, Output.length);
  const end = b.add(length, count!);
  b.loop([length], 0, (loop, [at]) => {
    b.when(b.compare('eq', at!, end), () => loop.leave());
    b.when(b.compare('ult', at!, size), () => b.store(1, b.add(to, at!), 0, byte!));
    loop.next(b.add(at!, 1));
  });
  b.store(8, output!, Output.length, end);
  b.return(0);
}

/** (output, magnitude, sign or 0, least digits, distance of letters, width): blanks, sign, zeros, digits */
function emitNumber(
  b: Builder,
  [output, magnitude, sign, least, letters, width]: Value[],
  base: number,
  context: EmitContext,
): void {
  const digits = b.stack(DIGITS);
  const [first] = b.loop([magnitude!, b.const(DIGITS)], 1, (loop, [left, at]) => {
    const digit = b.binary('umod', left!, base);
    const character = b.add(digit, b.select(b.compare('ugt', digit, 9), b.add(letters!, ZERO), ZERO));
    const place = b.sub(at!, 1);
    b.store(1, b.add(digits, place), 0, character);
    const rest = b.binary('udiv', left!, base);
    b.when(b.compare('eq', rest, 0), () => loop.leave(place));
    loop.next(rest, place);
  }) as [Value];
  const count = b.sub(b.const(DIGITS), first);
  const filler = context.shared('snprintf_fill', 3, emitFill);
  const zeros = b.select(b.compare('sgt', least!, count), b.sub(least!, count), 0);
  const signs = b.compare('ne', sign!, 0);
  const blanks = b.sub(width!, b.add(signs, b.add(zeros, count)));
  b.when(b.compare('sgt', blanks, 0), () => b.call(filler, [output!, b.const(BLANK), blanks]));
  b.call(filler, [output!, sign!, signs]);
  b.call(filler, [output!, b.const(ZERO), zeros]);
  b.call(writer(context), [output!, b.add(digits, first), count]);
  b.return(0);
}

/** (output or 0, address) -> how many bytes the string has, as far as it can be read. No chunk goes beyond its page. */
function emitString(b: Builder, [output, address]: Value[], context: EmitContext): void {
  const chunk = b.stack(CHUNK);
  b.loop([b.const(0)], 0, (next, [done]) => {
    const least = (a: Value, other: Value) => b.select(b.compare('ult', a, other), a, other);
    const source = b.add(address!, done!);
    const inPage = b.sub(b.const(PAGE), b.and(source, PAGE - 1));
    const length = least(least(inPage, b.const(CHUNK)), b.sub(b.const(MAX_STRING), done!));
    b.when(b.compare('eq', length, 0), () => b.return(done!));
    b.when(b.call(safeRead(context), [chunk, length, source]), () => b.return(done!), 'cold');
    const [count] = b.loop([b.const(0)], 1, (bytes, [at]) => {
      b.when(b.compare('eq', at!, length), () => bytes.leave(at!));
      b.when(b.compare('eq', b.load(1, b.add(chunk, at!)), 0), () => bytes.leave(at!));
      bytes.next(b.add(at!, 1));
    }) as [Value];
    b.when(output!, () => b.call(writer(context), [output!, chunk, count]));
    const sum = b.add(done!, count);
    b.when(b.compare('ult', count, length), () => b.return(sum));
    next.next(sum);
  });
  b.return(0);
}

/** (output) -> the length with its NUL, which is written where the text, or the room for it, ends */
function emitEnd(b: Builder, [output]: Value[]): void {
  const [to, size] = [b.load(8, output!, Output.to), b.load(8, output!, Output.size)];
  const length = b.load(8, output!, Output.length);
  b.when(size, () => {
    const last = b.sub(size, 1);
    b.store(1, b.add(to, b.select(b.compare('ult', length, last), length, last)), 0, 0);
  });
  b.return(b.add(length, 1));
}
