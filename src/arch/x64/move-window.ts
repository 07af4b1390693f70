/** The instructions that a jump displaced, moved to where they do the same. */
import type { Instruction } from 'iced-x86';
import { toHex } from '../../bytes/hex.ts';
import { iced } from './iced.ts';
import { Kind, LengthDecoder } from './length.ts';

/** The instructions of a window moved to another address. */
export interface MovedWindow {
  readonly bytes: Uint8Array;
  /** Address of each instruction in the window -> where it is now. */
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** False if the last instruction never goes on to the next: no jump back is needed. */
  readonly fallsThrough: boolean;
}

/** jmp rel32 */
const JUMP_SIZE = 5;

/**
 * Moves a window's instructions so that they do the same at `to`.
 *
 * A call is not moved as a call: its return address would lie in the trampoline, where no unwinder finds its way. The
 * original return address is pushed instead, and the callee jumped to.
 *
 * @throws RangeError if an operand cannot reach from `to`
 */
export function moveWindow(code: Uint8Array, from: bigint, to: bigint): MovedWindow {
  return movePlain(code, from, to) ?? moveAny(code, from, to);
}

/** The common case, without iced-x86: undefined if an instruction does not do the same anywhere. */
function movePlain(code: Uint8Array, from: bigint, to: bigint): MovedWindow | undefined {
  const decoder = new LengthDecoder(code);
  const moves = new Map<bigint, bigint>();
  for (let at = 0; at < code.length; ) {
    const length = decoder.decode(at);
    if (length === 0 || decoder.kind !== Kind.PLAIN) return undefined;
    moves.set(from + BigInt(at), to + BigInt(at));
    at += length;
  }
  return { bytes: code, moves, fallsThrough: true };
}

function moveAny(code: Uint8Array, from: bigint, to: bigint): MovedWindow {
  const { Decoder, DecoderOptions, FlowControl } = iced();
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
        const { flowControl } = instruction;
        fallsThrough = !endsRun(instruction);
        if (flowControl === FlowControl.Call || flowControl === FlowControl.IndirectCall) {
          const push = pushReturnAddress(instruction.nextIP);
          bytes.push(...push, ...jumpToCallee(instruction, at + BigInt(push.length)));
          fallsThrough = false;
        } else bytes.push(...encode(instruction, at));
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

/** True if the next instruction is not reached from this one. */
export function endsRun({ flowControl }: Instruction): boolean {
  const { FlowControl } = iced();
  return (
    flowControl === FlowControl.Return ||
    flowControl === FlowControl.UnconditionalBranch ||
    flowControl === FlowControl.IndirectBranch
  );
}

/** One instruction for another address; short branches grow. */
function encode(instruction: Instruction, at: bigint): Uint8Array {
  const { BlockEncoder, BlockEncoderOptions } = iced();
  const encoder = new BlockEncoder(64, BlockEncoderOptions.None);
  try {
    encoder.add(instruction);
    return encoder.encode(at);
  } finally {
    encoder.free();
  }
}

/** Flags are kept. */
function pushReturnAddress(address: bigint): number[] {
  return [
    ...[0x48, 0x8d, 0x64, 0x24, 0xf8], //                             lea rsp, [rsp-8]
    ...[0xc7, 0x04, 0x24, ...int32(Number(address & 0xffff_ffffn))], // mov dword [rsp], low
    ...[0xc7, 0x44, 0x24, 0x04, ...int32(Number(address >> 32n))], //   mov dword [rsp+4], high
  ];
}

/** Where the call went, from behind the push: an operand that counts from rsp lies 8 bytes further up. */
function jumpToCallee(call: Instruction, at: bigint): Iterable<number> {
  const { Code, FlowControl, OpKind, Register } = iced();
  if (call.flowControl === FlowControl.Call) {
    const displacement = call.nearBranchTarget - (at + BigInt(JUMP_SIZE));
    if (displacement !== BigInt.asIntN(32, displacement)) throw new RangeError('the callee is out of reach');
    return [0xe9, ...int32(Number(displacement))]; // jmp target
  }
  if (call.code !== Code.Call_rm64) throw new RangeError('a call of this kind cannot be moved');
  call.code = Code.Jmp_rm64;
  if (call.op0Kind === OpKind.Memory && call.memoryBase === Register.RSP) {
    call.memoryDisplacement += 8n;
    call.memoryDisplSize = 1; // or as many bytes as it takes
  }
  return encode(call, at);
}

function int32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}
