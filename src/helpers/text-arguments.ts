/** What is given to helpers that format: how much at most, and how the interpreter reads it. */
import { BpfError } from '../errors.ts';
import type { InterpreterMemory } from './helper.ts';
import { MAX_STRING } from './printk-format.ts';

/** MAX_BPRINTF_VARARGS */
export const MAX_ARGUMENTS = 12;

/** The words behind `data`; undefined if there cannot be so many. */
export function readArguments(memory: InterpreterMemory, data: bigint, size: bigint): bigint[] | undefined {
  const bytes = Number(BigInt.asUintN(32, size));
  if (bytes % 8 !== 0 || bytes > 8 * MAX_ARGUMENTS || (bytes > 0 && data === 0n)) return undefined;
  if (bytes === 0) return [];
  return [...new BigUint64Array(memory.view(data, bytes).slice().buffer)];
}

/** The text at `address` up to its NUL, as much of it as can be read. */
export function readText(memory: InterpreterMemory, address: bigint): string {
  let text = '';
  try {
    for (let at = 0n; text.length < MAX_STRING; at++) {
      const byte = memory.view(address + at, 1)[0]!;
      if (byte === 0) break;
      text += String.fromCharCode(byte);
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
  }
  return text;
}
