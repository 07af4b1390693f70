/** Maps and programs in the kernel, by bpf(2). Layouts: union bpf_attr in Linux include/uapi/linux/bpf.h. */
import { type Fields, type Struct, struct, type Values } from '../../src/bytes/struct.ts';
import { encode } from '../../src/insn/encode.ts';
import type { Insn } from '../../src/insn/insn.ts';
import type { MapSpec } from '../../src/maps/map-type.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import { addressOf, cString, fixedBytes, fixedCopy, Sys, SyscallError, syscall } from './syscall.ts';

const Command = { mapCreate: 0, mapLookupElem: 1, mapGetNextKey: 4, progLoad: 5 } as const;

/** In the source register of a lddw: the immediate is a map's file descriptor. */
const PSEUDO_MAP_FD = 1;

/** BPF_PROG_TYPE_KPROBE: also what runs at uprobes. */
const PROG_TYPE_KPROBE = 2;

const LOG_SIZE = 64 * 1024;

const MapCreate = struct('bpf_attr: BPF_MAP_CREATE', 20, {
  type: 'u32',
  keySize: 'u32',
  valueSize: 'u32',
  maxEntries: 'u32',
  flags: 'u32',
});

/** `value` is where the next key goes for BPF_MAP_GET_NEXT_KEY. */
const MapElem = struct('bpf_attr: BPF_MAP_*_ELEM', 32, {
  map: 'u32',
  pad: 'u32',
  key: 'u64',
  value: 'u64',
  flags: 'u64',
});

const ProgLoad = struct('bpf_attr: BPF_PROG_LOAD', 48, {
  type: 'u32',
  insnCount: 'u32',
  insns: 'u64',
  license: 'u64',
  logLevel: 'u32',
  logSize: 'u32',
  log: 'u64',
  kernelVersion: 'u32',
  flags: 'u32',
});

/** Makes an empty map; returns its file descriptor. */
export function createMap(spec: MapSpec): number {
  const { type, keySize, valueSize, maxEntries, flags } = spec;
  return bpf(`make the map ${spec.name}`, Command.mapCreate, MapCreate, {
    type,
    keySize,
    valueSize,
    maxEntries,
    flags,
  });
}

/** Loads a program over maps made before; returns its file descriptor. The verifier's log is in the error. */
export function loadProgram(program: LinkedProgram, license: string, maps: ReadonlyMap<string, number>): number {
  const insns = fixedCopy(encode(withMaps(program, maps)));
  const licenseText = cString(license);
  const log = fixedBytes(LOG_SIZE);
  return bpf(
    `load the program ${program.name}`,
    Command.progLoad,
    ProgLoad,
    {
      type: PROG_TYPE_KPROBE,
      insnCount: insns.length / 8,
      insns: addressOf(insns),
      license: addressOf(licenseText),
      logLevel: 1,
      logSize: LOG_SIZE,
      log: addressOf(log),
      kernelVersion: 0,
      flags: 0,
    },
    () => Buffer.from(log).toString('latin1', 0, log.indexOf(0)),
  );
}

/** The values of a map, each as stored. */
export function* mapValues(map: number, spec: MapSpec): Generator<Uint8Array> {
  let key: Uint8Array | undefined;
  for (;;) {
    const next = fixedBytes(spec.keySize);
    if (!nextKey(map, key, next)) return;
    const value = fixedBytes(spec.valueSize);
    bpf(`read the map ${spec.name}`, Command.mapLookupElem, MapElem, element(map, next, value));
    yield value;
    key = next;
  }
}

/** The instructions as the kernel takes them; the bench's programs refer to nothing but maps. */
function withMaps({ insns, references }: LinkedProgram, maps: ReadonlyMap<string, number>): Insn[] {
  return insns.map((insn, at) => {
    const reference = references.get(at);
    if (reference?.kind !== 'map') return insn;
    const descriptor = maps.get(reference.map)!;
    return { ...insn, src: PSEUDO_MAP_FD, imm: descriptor, imm64: BigInt(descriptor) };
  });
}

/** Writes the key after `key`, or the first one, to `next`; false at the end. */
function nextKey(map: number, key: Uint8Array | undefined, next: Uint8Array): boolean {
  try {
    bpf('walk a map', Command.mapGetNextKey, MapElem, element(map, key, next));
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.errno === 'ENOENT') return false;
    throw error;
  }
}

function element(map: number, key: Uint8Array | undefined, value: Uint8Array): ReturnType<typeof MapElem.read> {
  return { map, pad: 0, key: key ? addressOf(key) : 0n, value: addressOf(value), flags: 0n };
}

function bpf<F extends Fields>(
  what: string,
  command: number,
  layout: Struct<F>,
  values: Values<F>,
  explain?: () => string,
): number {
  const attr = fixedBytes(layout.size);
  layout.write(attr, 0, values);
  return syscall(what, Sys.bpf, [command, addressOf(attr), layout.size], explain);
}
