/**
 * Passing an open file to another process through a datagram socket that sends to itself: a socket of the other process, of
 * which we have a copy. So it matters neither which network nor which files the two can see.
 * Source: unix(7), cmsg(3), pidfd_getfd(2).
 */
import { closeSync } from 'node:fs';
import { struct } from '../bytes/struct.ts';
import { libc, viewOfMemory } from './libc.ts';

/** AF_UNIX, and SOCK_DGRAM | SOCK_CLOEXEC. */
export const PASSING_SOCKET = [1, 2 | 0o2000000, 0] as const;
/** MSG_DONTWAIT | MSG_CMSG_CLOEXEC. */
export const RECEIVE_FLAGS = 0x40 | 0x4000_0000;

/** What sendmsg and recvmsg are given, and behind it what that points to: one byte, and the message with the file. */
const Message = struct('message', 104, {
  name: 'u64',
  nameSize: 'u64',
  vector: 'u64',
  vectorSize: 'u64',
  control: 'u64',
  controlSize: 'u64',
  flags: 'u64',
  base: 'u64',
  length: 'u64',
  bytes: 'u64',
  controlLength: 'u64',
  level: 'u32',
  type: 'u32',
  file: 'i32',
  pad: 'u32',
});

/** Bytes of a message. */
export const MESSAGE_SIZE = Message.size;
/** Where in a message that was received the descriptor is, four bytes; -1 if none came. */
export const FILE_AT = Message.offsetOf.file;

const AF_UNIX = 1;
const FAMILY_SIZE = 2;
/** struct sockaddr_un */
const ADDRESS_SIZE = 110;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE = 4096;
const NAME_AT = 1024;

/** A message as recvmsg is to be given it, in memory at `address`. */
export function emptyMessage(address: bigint): Uint8Array {
  return messageAt(address, { address: 0n, size: 0 }, -1);
}

/**
 * An open file that nobody has a descriptor of: it lies in the queue of a socket of ours. Others of our user may open what we have
 * open, by way of /proc, but not a socket.
 */
export class PutAwayFile implements Disposable {
  #socket: number;

  /** @param file stays the caller's to close */
  constructor(file: number) {
    const [family, type, protocol] = PASSING_SOCKET;
    this.#socket = libc('socket', 'socket', family, type, protocol);
    try {
      bindAnywhere(this.#socket);
      sendToItself(this.#socket, file);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** A descriptor of it, for the caller to close. @throws {SysError} */
  open(): number {
    const file = receive(this.#socket);
    sendToItself(this.#socket, file);
    return file;
  }

  [Symbol.dispose](): void {
    if (this.#socket >= 0) closeSync(this.#socket);
    this.#socket = -1;
  }
}

/** Gives a socket a name of its own, which the kernel chooses. @throws {SysError} */
export function bindAnywhere(socket: number): void {
  libc('bind', 'bind', socket, Uint16Array.of(AF_UNIX), FAMILY_SIZE);
}

/** Sends an open file through a socket with a name to itself: whoever has the socket receives it. @throws {SysError} */
export function sendToItself(socket: number, file: number): void {
  const name = new Uint8Array(ADDRESS_SIZE);
  const size = Uint32Array.of(ADDRESS_SIZE);
  libc('getsockname', 'getsockname', socket, name, size);
  const { address, bytes } = scratch();
  bytes.set(name, NAME_AT);
  bytes.set(messageAt(BigInt(address), { address: BigInt(address + NAME_AT), size: size[0]! }, file));
  libc('sendmsg', 'sendmsg', socket, bytes, 0);
}

function receive(socket: number): number {
  const { address, bytes } = scratch();
  bytes.set(emptyMessage(BigInt(address)));
  libc('recvmsg', 'recvmsg', socket, bytes, RECEIVE_FLAGS);
  return Message.read(bytes).file;
}

let page: { readonly address: number; readonly bytes: Uint8Array } | undefined;

/** Memory whose address is known: messages hold addresses. */
function scratch(): { readonly address: number; readonly bytes: Uint8Array } {
  if (page === undefined) {
    const address = libc('mmap', 'mmap', 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    page = { address, bytes: new Uint8Array(viewOfMemory(address, PAGE)) };
  }
  return page;
}

function messageAt(at: bigint, name: { readonly address: bigint; readonly size: number }, file: number): Uint8Array {
  const bytes = new Uint8Array(Message.size);
  const { base, bytes: payload, controlLength, file: fileAt } = Message.offsetOf;
  Message.write(bytes, 0, {
    name: name.address,
    nameSize: BigInt(name.size),
    vector: at + BigInt(base),
    vectorSize: 1n,
    control: at + BigInt(controlLength),
    controlSize: BigInt(fileAt + 8 - controlLength),
    flags: 0n,
    base: at + BigInt(payload),
    length: 1n,
    bytes: 0n,
    controlLength: BigInt(fileAt + 4 - controlLength),
    level: SOL_SOCKET,
    type: SCM_RIGHTS,
    file,
    pad: 0,
  });
  return bytes;
}
