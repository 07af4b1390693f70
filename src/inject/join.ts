/**
 * Memory that several targets share: a part of one's memory file, mapped in another. The file reaches it through a socket of
 * its own; if we are killed on the way, what the target has opened for that it closes by itself.
 */

import { closeSync } from 'node:fs';
import type { RemoteCall } from '../process/call-stub.ts';
import type { RemoteCalls } from '../process/remote-calls.ts';
import type { TargetProcess } from '../process/target-process.ts';
import {
  bindAnywhere,
  emptyMessage,
  FILE_AT,
  MESSAGE_SIZE,
  PASSING_SOCKET,
  RECEIVE_FLAGS,
  sendToItself,
} from '../sys/file-passing.ts';
import type { SharedPart } from '../sys/shared-mapping.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED_FIXED = 0x11;

/** Memory of the target that we see too, and that nobody uses yet. */
export interface Scratch {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/**
 * Has the target map `part` at `address`, over what is there.
 *
 * @throws {ProcessError | SysError} `part` is not mapped then, and no file is left open
 */
export function joinPart(
  process: TargetProcess,
  calls: RemoteCalls,
  part: SharedPart,
  address: bigint,
  { address: at, bytes }: Scratch,
): void {
  calls.run([{ name: 'socket', args: PASSING_SOCKET }]);
  try {
    passFile(process.copyDescriptor(calls.file!), part.file.open());
    bytes.set(emptyMessage(at));
    const file = { at: at + BigInt(FILE_AT) };
    const mmap: RemoteCall['args'] = [address, part.size, PROT_READ_WRITE, MAP_SHARED_FIXED, file, part.offset];
    calls.run([
      { name: 'recvmsg', args: ['file', at, RECEIVE_FLAGS] },
      { name: 'mmap', args: mmap, wanted: address },
      { name: 'close', args: [file] },
      { name: 'close', args: ['file'] },
    ]);
  } finally {
    bytes.fill(0, 0, MESSAGE_SIZE);
    if (calls.file !== undefined) calls.run([{ name: 'close', args: ['file'] }]);
  }
}

function passFile(socket: number, file: number): void {
  try {
    bindAnywhere(socket);
    sendToItself(socket, file);
  } finally {
    closeSync(socket);
    closeSync(file);
  }
}
