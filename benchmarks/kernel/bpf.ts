/** Maps and programs in the kernel, by bpf(2). */
import type { Fields, Struct, Values } from '../../src/bytes/struct.ts';
import { encode } from '../../src/insn/encode.ts';
import type { Insn } from '../../src/insn/insn.ts';
import type { MapSpec } from '../../src/maps/map-type.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import { Command, MapCreate, MapElem, ProgLoad, Pseudo, UNSAID } from './bpf-attr.ts';
import { CallMemory, Sys, SyscallError, syscall } from './syscall.ts';

/** BPF_PROG_TYPE_KPROBE: also what runs at uprobes. */
const PROG_TYPE_KPROBE = 2;

const LOG_SIZE = 64 * 1024;

/** How often libbpf tries, too. */
const ATTEMPTS = 5;

/** Makes an empty map; returns its file descriptor. @param innerMap an example of the maps that it takes, 0 if it takes none */
export function createMap(spec: MapSpec, innerMap = 0): number {
  const { type, keySize, valueSize, maxEntries, flags } = spec;
  const attr = { type, keySize, valueSize, maxEntries, flags, innerMap };
  return bpf(`make the map ${spec.name}`, Command.mapCreate, MapCreate, attr);
}

/** Puts a program or a map, by its descriptor, into a map of such. */
export function putIntoMap(map: number, index: number, descriptor: number): void {
  using memory = new CallMemory();
  const key = memory.place(new Uint8Array(Uint32Array.of(index).buffer));
  const value = memory.place(new Uint8Array(Uint32Array.of(descriptor).buffer));
  bpf('put something into a map', Command.mapUpdateElem, MapElem, { map, pad: 0, key, value, flags: 0n });
}

/** Loads a program over maps made before; returns its file descriptor. The verifier's log is in the error. */
export function loadProgram(program: LinkedProgram, license: string, maps: ReadonlyMap<string, number>): number {
  using memory = new CallMemory();
  const insns = encode(withMaps(program, maps));
  const log = memory.reserve(LOG_SIZE);
  const attr = {
    ...UNSAID,
    type: PROG_TYPE_KPROBE,
    insnCount: insns.length / 8,
    insns: memory.place(insns),
    license: memory.placeString(license),
    logLevel: 1,
    logSize: LOG_SIZE,
    log: log.address,
  };
  const verdict = () => Buffer.from(log.bytes).toString('latin1', 0, log.bytes.indexOf(0));
  return bpf(`load the program ${program.name}`, Command.progLoad, ProgLoad, attr, verdict);
}

/** The values of a map, each as stored. */
export function* mapValues(map: number, spec: MapSpec): Generator<Uint8Array> {
  using memory = new CallMemory();
  const key = memory.reserve(spec.keySize);
  const next = memory.reserve(spec.keySize);
  const value = memory.reserve(spec.valueSize);
  const first = { map, pad: 0, key: 0n, value: next.address, flags: 0n };
  const entry = { map, pad: 0, key: next.address, value: value.address, flags: 0n };
  const follow = { ...first, key: key.address };
  for (let position = first; moveOn(position); position = follow) {
    bpf(`read the map ${spec.name}`, Command.mapLookupElem, MapElem, entry);
    yield value.bytes.slice();
    key.bytes.set(next.bytes);
  }
}

/** Writes the next key; false behind the last one. */
function moveOn(position: ReturnType<typeof MapElem.read>): boolean {
  try {
    bpf('walk a map', Command.mapGetNextKey, MapElem, position);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.errno === 'ENOENT') return false;
    throw error;
  }
}

/** The instructions as the kernel takes them; the bench's programs refer to nothing but maps. */
function withMaps({ insns, references }: LinkedProgram, maps: ReadonlyMap<string, number>): Insn[] {
  return insns.map((insn, at) => {
    const reference = references.get(at);
    if (reference?.kind !== 'map') return insn;
    const descriptor = maps.get(reference.map)!;
    return { ...insn, src: Pseudo.mapFd, imm: descriptor, imm64: BigInt(descriptor) };
  });
}

function bpf<F extends Fields>(
  what: string,
  command: number,
  layout: Struct<F>,
  values: Values<F>,
  explain?: () => string,
): number {
  using memory = new CallMemory();
  const attr = memory.reserve(layout.size);
  layout.write(attr.bytes, 0, values);
  for (let attempt = 1; ; attempt++) {
    try {
      return syscall(what, Sys.bpf, [command, attr.address, layout.size], explain);
    } catch (error) {
      // The verifier gives up when a signal is pending, and Node's threads signal each other.
      if (!(error instanceof SyscallError) || error.errno !== 'EAGAIN' || attempt === ATTEMPTS) throw error;
    }
  }
}
