/**
 * The window of a probe: the whole instructions at a place that a 5-byte jump replaces. Found by decoding, never
 * guessed: what cannot be proven movable is refused with a reason.
 */
import type { Instruction } from 'iced-x86';
import { toHex } from '../../bytes/hex.ts';
import { iced } from './iced.ts';
import { findPlainWindow, movePlainWindow } from './plain-window.ts';

/** jmp rel32 */
export const JUMP_SIZE = 5;
/** endbr64: stays in place, since indirect branches must find it there. */
const ENDBR64 = 'f30f1efa';

export interface Window {
  /** Bytes from the start of the function to the window: 4 behind an endbr64, else 0. */
  readonly skip: number;
  /** Bytes of the whole instructions in it: at least 5. */
  readonly length: number;
}

/** Why there is no window. */
export interface WindowRefusal {
  readonly reason: 'too short' | 'branch into it' | 'cannot be moved' | 'does not decode';
  /** A sentence that names the instruction or the bytes. */
  readonly detail: string;
}

/**
 * Finds the window at the start of a function.
 *
 * @param code the function's bytes, and up to 16 more: padding behind a short function may be used
 * @param address of the first byte
 * @param size the function's size by its symbol; all of it is searched for branches into the window
 */
export function findWindow(code: Uint8Array, address: bigint, size: number): Window | WindowRefusal {
  const plain = findPlainWindow(code, size, JUMP_SIZE);
  if (plain !== undefined) return plain;
  const skip = toHex(code.subarray(0, 4)) === ENDBR64 ? 4 : 0;
  const decoded = decode(code.subarray(skip), address + BigInt(skip), JUMP_SIZE, size - skip);
  if ('reason' in decoded) return decoded;
  const start = address + BigInt(skip);
  const end = start + BigInt(decoded.length);
  const branch = findBranchInto(code.subarray(0, size), address, start, end);
  if (branch !== undefined) {
    const detail = `the branch at +${branch} leads into the ${decoded.length} bytes that the jump would replace`;
    return { reason: 'branch into it', detail };
  }
  return { skip, length: decoded.length };
}

/** The instructions of a window moved to another address. */
export interface MovedWindow {
  readonly bytes: Uint8Array;
  /** Address of each instruction in the window -> where it is now. */
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** False if the last instruction never goes on to the next: no jump back is needed. */
  readonly fallsThrough: boolean;
}

/**
 * Moves a window's instructions so that they do the same at `to`.
 *
 * A call is not moved as a call: its return address would lie in the trampoline, where no unwinder finds its way. The
 * original return address is pushed instead, and the callee jumped to.
 *
 * @throws RangeError if an operand cannot reach from `to`
 */
export function moveWindow(code: Uint8Array, from: bigint, to: bigint): MovedWindow {
  return movePlainWindow(code, from, to) ?? moveAnyWindow(code, from, to);
}

function moveAnyWindow(code: Uint8Array, from: bigint, to: bigint): MovedWindow {
  const { Decoder, DecoderOptions, BlockEncoder, BlockEncoderOptions, FlowControl } = iced();
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = from;
  const moves = new Map<bigint, bigint>();
  const bytes: number[] = [];
  let fallsThrough = true;
  try {
    while (decoder.canDecode) {
      const instruction = decoder.decode();
      const at = to + BigInt(bytes.length);
      moves.set(instruction.ip, at);
      try {
        fallsThrough = !endsRun(instruction);
        if (instruction.flowControl === FlowControl.Call) {
          bytes.push(...callFrom(at, instruction.nearBranchTarget, instruction.nextIP));
          fallsThrough = false;
        } else {
          const encoder = new BlockEncoder(64, BlockEncoderOptions.None);
          try {
            encoder.add(instruction);
            bytes.push(...encoder.encode(at));
          } finally {
            encoder.free();
          }
        }
      } finally {
        instruction.free();
      }
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(`cannot move ${toHex(code)} from 0x${from.toString(16)} to 0x${to.toString(16)}: ${reason}`);
  } finally {
    decoder.free();
  }
  return { bytes: Uint8Array.from(bytes), moves, fallsThrough };
}

/** Counts whole instructions until `size` bytes are covered, checking that each may be moved. */
function decode(
  code: Uint8Array,
  address: bigint,
  size: number,
  functionSize: number,
): { readonly length: number } | WindowRefusal {
  const { Decoder, DecoderOptions } = iced();
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = address;
  try {
    let length = 0;
    let ended = false;
    while (length < size) {
      const instruction = decoder.decode();
      try {
        if (instruction.isInvalid) {
          return { reason: 'does not decode', detail: `${toHex(code.subarray(length, length + 8))} is no instruction` };
        }
        if (ended || length >= functionSize) {
          if (!isPadding(instruction)) {
            return {
              reason: 'too short',
              detail: `it has ${length} bytes and other code follows; a jump needs ${size}`,
            };
          }
        } else {
          const obstacle = whyImmovable(instruction, length + instruction.length < size);
          if (obstacle !== undefined) return { reason: 'cannot be moved', detail: obstacle };
        }
        ended ||= endsRun(instruction);
        length += instruction.length;
      } finally {
        instruction.free();
      }
    }
    return { length };
  } finally {
    decoder.free();
  }
}

/** The offset of a direct branch in the function that leads into (start, end), or undefined. */
function findBranchInto(code: Uint8Array, address: bigint, start: bigint, end: bigint): number | undefined {
  const { Decoder, DecoderOptions, FlowControl } = iced();
  const decoder = new Decoder(64, code, DecoderOptions.None);
  decoder.ip = address;
  const instruction = new (iced().Instruction)();
  try {
    while (decoder.canDecode) {
      decoder.decodeOut(instruction);
      const { flowControl } = instruction;
      const branches =
        flowControl === FlowControl.ConditionalBranch ||
        flowControl === FlowControl.UnconditionalBranch ||
        flowControl === FlowControl.XbeginXabortXend ||
        flowControl === FlowControl.Call;
      if (!branches || instruction.isInvalid) continue;
      const target = instruction.nearBranchTarget;
      if (target > start && target < end) return Number(instruction.ip - address);
    }
    return undefined;
  } finally {
    instruction.free();
    decoder.free();
  }
}

/** Why an instruction of the window must stay where it is, or undefined. */
function whyImmovable(instruction: Instruction, isFollowed: boolean): string | undefined {
  const { FlowControl, Code } = iced();
  const { flowControl, code } = instruction;
  if (code === Code.Int3) return 'the first bytes hold a breakpoint (int3) of another tool';
  if (flowControl === FlowControl.XbeginXabortXend) return 'a transaction begins there';
  if (flowControl === FlowControl.Interrupt || flowControl === FlowControl.Exception) return 'it traps on purpose';
  // What a call in the middle returns to would lie inside the jump.
  const calls = flowControl === FlowControl.Call || flowControl === FlowControl.IndirectCall;
  if (calls && isFollowed) return 'a short call there returns into the bytes that the jump would replace';
  if (flowControl === FlowControl.IndirectCall) return 'an indirect call there cannot be given its return address';
  return undefined;
}

/** True if the next instruction is not reached from this one. */
function endsRun({ flowControl }: Instruction): boolean {
  const { FlowControl } = iced();
  return (
    flowControl === FlowControl.Return ||
    flowControl === FlowControl.UnconditionalBranch ||
    flowControl === FlowControl.IndirectBranch
  );
}

function isPadding({ mnemonic }: Instruction): boolean {
  const { Mnemonic } = iced();
  return mnemonic === Mnemonic.Nop || mnemonic === Mnemonic.Int3;
}

/** Does what `call target` did, with `returnTo` on the stack; flags are kept. */
function callFrom(at: bigint, target: bigint, returnTo: bigint): number[] {
  const low = Number(returnTo & 0xffff_ffffn);
  const high = Number(returnTo >> 32n);
  const bytes = [
    ...[0x48, 0x8d, 0x64, 0x24, 0xf8], //          lea rsp, [rsp-8]
    ...[0xc7, 0x04, 0x24, ...int32(low)], //        mov dword [rsp], low
    ...[0xc7, 0x44, 0x24, 0x04, ...int32(high)], // mov dword [rsp+4], high
  ];
  const displacement = target - (at + BigInt(bytes.length) + BigInt(JUMP_SIZE));
  if (displacement !== BigInt.asIntN(32, displacement)) throw new RangeError('the callee is out of reach');
  return [...bytes, 0xe9, ...int32(Number(displacement))]; // jmp target
}

function int32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}
