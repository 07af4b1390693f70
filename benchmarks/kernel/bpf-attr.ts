/** What bpf(2) takes. Layouts: union bpf_attr in Linux include/uapi/linux/bpf.h. */
import { struct } from '../../src/bytes/struct.ts';

/** BPF_* commands. */
export const Command = {
  mapCreate: 0,
  mapLookupElem: 1,
  mapUpdateElem: 2,
  mapGetNextKey: 4,
  progLoad: 5,
  btfLoad: 18,
  mapFreeze: 22,
} as const;

/** BPF_PSEUDO_*, in the source register of a lddw: what its immediate is. */
export const Pseudo = { mapFd: 1, mapValue: 2, function: 4 } as const;

export const MapCreate = struct('bpf_attr: BPF_MAP_CREATE', 24, {
  type: 'u32',
  keySize: 'u32',
  valueSize: 'u32',
  maxEntries: 'u32',
  flags: 'u32',
  innerMap: 'u32',
});

/** `value` is where the next key goes for BPF_MAP_GET_NEXT_KEY. */
export const MapElem = struct('bpf_attr: BPF_MAP_*_ELEM', 32, {
  map: 'u32',
  pad: 'u32',
  key: 'u64',
  value: 'u64',
  flags: 'u64',
});

export const BtfLoad = struct('bpf_attr: BPF_BTF_LOAD', 28, {
  btf: 'u64',
  log: 'u64',
  size: 'u32',
  logSize: 'u32',
  logLevel: 'u32',
});

export const ProgLoad = struct('bpf_attr: BPF_PROG_LOAD', 104, {
  type: 'u32',
  insnCount: 'u32',
  insns: 'u64',
  license: 'u64',
  logLevel: 'u32',
  logSize: 'u32',
  log: 'u64',
  kernelVersion: 'u32',
  flags: 'u32',
  nameLow: 'u64',
  nameHigh: 'u64',
  ifindex: 'u32',
  expectedAttachType: 'u32',
  btf: 'u32',
  functionInfoSize: 'u32',
  functionInfo: 'u64',
  functionInfoCount: 'u32',
  pad: 'u32',
  lines: 'u64',
});

/** What most programs leave out of ProgLoad. */
export const UNSAID = {
  kernelVersion: 0,
  flags: 0,
  nameLow: 0n,
  nameHigh: 0n,
  ifindex: 0,
  expectedAttachType: 0,
  btf: 0,
  functionInfoSize: 0,
  functionInfo: 0n,
  functionInfoCount: 0,
  pad: 0,
  lines: 0n,
} as const;
