/**
 * Semaphores of static probes: a u16 in the target that counts listeners, so that it prepares arguments only for somebody. Source:
 * SystemTap, "User Space Probe Implementation"; the kernel counts them as uprobes' ref_ctr_offset (update_ref_ctr).
 */
import { viewOf } from '../../bytes/struct.ts';
import { BpfError } from '../../errors.ts';
import type { Module } from '../../process/module.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import { AttachError } from '../errors.ts';

const SIZE = 2;
const MAX_LISTENERS = 0xffff;

/**
 * Adds one listener.
 *
 * @param address of the semaphore in the file of `module`
 * @returns what takes it off again, where the semaphore is still there
 * @throws {AttachError} ATTACH_USDT_SEMAPHORE
 */
export function raiseSemaphore(process: TargetProcess, module: Module, address: bigint): () => void {
  const at = address + module.bias;
  const listeners = read(process, at);
  if (listeners === undefined || listeners === MAX_LISTENERS) {
    const why = listeners === undefined ? 'it cannot be read' : `it counts ${MAX_LISTENERS} listeners already`;
    throw new AttachError(
      'ATTACH_USDT_SEMAPHORE',
      `cannot raise the semaphore of a static probe in ${module.name}: ${why}`,
    );
  }
  write(process, at, listeners + 1);
  return () => {
    if (process.isGone() || !isMapped(process, module)) return;
    const now = read(process, at);
    if (now !== undefined && now > 0) write(process, at, now - 1);
  };
}

/** Whether the library is still where it was: else that memory is somebody else's. */
function isMapped(process: TargetProcess, { path, start }: Module): boolean {
  try {
    return process.modules().some((module) => module.path === path && module.start === start);
  } catch (error) {
    if (error instanceof BpfError) return false; // it has just ended
    throw error;
  }
}

function read(process: TargetProcess, at: bigint): number | undefined {
  try {
    return viewOf(Uint8Array.from(process.memory.read(at, SIZE))).getUint16(0, true);
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

function write(process: TargetProcess, at: bigint, listeners: number): void {
  const bytes = new Uint8Array(SIZE);
  viewOf(bytes).setUint16(0, listeners, true);
  process.memory.write(at, bytes);
}
