/** x86-64 machine code as text, for listings and tests. Decoding and formatting are iced-x86's. */
import type { Formatter } from 'iced-x86';
import { iced } from './iced.ts';

/** One decoded instruction. */
export interface DisassembledLine {
  readonly address: bigint;
  /** In bytes. */
  readonly size: number;
  /** Intel syntax; '(bad)' where the bytes are no instruction. */
  readonly text: string;
}

/** Decodes all of `bytes`, which lie at `address`. */
export function disassemble(bytes: Uint8Array, address: bigint): DisassembledLine[] {
  const { Decoder, DecoderOptions } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const formatter = intelFormatter();
  decoder.ip = address;
  const lines: DisassembledLine[] = [];
  while (decoder.canDecode) {
    const instruction = decoder.decode();
    lines.push({ address: instruction.ip, size: instruction.length, text: shortDigits(formatter.format(instruction)) });
    instruction.free(); // WebAssembly memory is not collected
  }
  formatter.free();
  decoder.free();
  return lines;
}

/** Numbers below ten without 0x. */
function shortDigits(text: string): string {
  return text.replace(/\b0x(\d)\b/g, '$1');
}

function intelFormatter(): Formatter {
  const { Formatter, FormatterSyntax } = iced();
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  // iced-x86 takes 0x1_0000_0005 for 5, too: it looks at the lower half only.
  formatter.smallHexNumbersInDecimal = false;
  formatter.spaceAfterOperandSeparator = true;
  formatter.spaceBetweenMemoryAddOperators = true;
  formatter.signedImmediateOperands = true;
  formatter.branchLeadingZeros = false;
  formatter.showBranchSize = false;
  return formatter;
}
