/**
 * The running kernel's verifier as an oracle: bpf(2) BPF_PROG_LOAD of a tracing program, closed again at once; nothing
 * is ever attached.
 */
import { closeSync } from 'node:fs';
import { BtfLoad, Command, MapCreate, MapElem, ProgLoad, Pseudo, UNSAID } from '../../benchmarks/kernel/bpf-attr.ts';
import { CallMemory, type Place, Sys, SyscallError, syscall } from '../../benchmarks/kernel/syscall.ts';
import { struct } from '../../src/bytes/struct.ts';
import { HELPERS } from '../../src/helpers/table.ts';
import { assemble } from '../../src/insn/assemble.ts';
import { encode } from '../../src/insn/encode.ts';
import { operationOf } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { isKernelFunction } from '../../src/insn/kernel-functions.ts';
import type { MapSpec } from '../../src/maps/map-type.ts';
import { kernelBtf } from '../../src/object/core-types.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import { readKernel } from '../../src/sys/kernel.ts';
import { bareProgram } from '../../src/verifier/bare-program.ts';
import { BASICS, btfBytes } from './btf-bytes.ts';

/** Kinds of tracing programs, with their BPF_PROG_TYPE_* numbers. */
export const KERNEL_TYPES = { uprobe: 2, tracepoint: 5, raw_tracepoint: 17 } as const;
export type KernelType = keyof typeof KERNEL_TYPES;

/** What the kernel said. */
export interface KernelVerdict {
  readonly accepted: boolean;
  /** The refusal: the last lines of its log, without the statistics; '' if accepted. */
  readonly message: string;
  /** How many instructions it looked at. */
  readonly processed: number;
}

/** A program with the maps it refers to by name. */
export interface OracleProgram {
  readonly program: Pick<LinkedProgram, 'insns' | 'references' | 'subprograms'>;
  readonly maps: readonly MapSpec[];
  readonly type: KernelType;
}

/** Errors and statistics only: no line for each instruction. */
const LOG_STATISTICS = 4;
/** With a line for each instruction. */
const LOG_EVERYTHING = 2;
const LOG_SIZE = 1 << 20;
const MAX_CODE = 1 << 23;
/** The verifier gives up when a signal is pending, and Node's threads signal each other. */
const ATTEMPTS = 20;

/** struct bpf_func_info */
const FunctionInfo = struct('bpf_func_info', 8, { slot: 'u32', type: 'u32' });

/** What a program's functions are to the kernel where it asks: `static int f(void)`. */
const FUNCTION_BTF = btfBytes([
  ...BASICS,
  { kind: 'func_proto', value: 1 },
  { kind: 'func', name: 'f', value: BASICS.length + 1 },
]);
const FUNCTION_TYPE = BASICS.length + 2;

const BPF_F_RDONLY_PROG = 0x80;

/** Why the kernel takes no programs from us; undefined if it does. */
export function whyNoOracle(): string | undefined {
  try {
    using oracle = new KernelOracle();
    const exits = assemble('mov r0, 0\nexit');
    const { accepted, message } = oracle.verdict({ program: bareProgram('probe', exits), maps: [], type: 'uprobe' });
    return accepted ? undefined : message;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Asks the kernel, any number of times. Maps are made once each. */
export class KernelOracle implements Disposable {
  readonly #memory = new CallMemory();
  readonly #attr: Place = this.#memory.reserve(ProgLoad.size);
  readonly #code: Place = this.#memory.reserve(MAX_CODE);
  readonly #log: Place = this.#memory.reserve(LOG_SIZE);
  readonly #functions: Place = this.#memory.reserve(FunctionInfo.size * 256);
  readonly #license = this.#memory.placeString('GPL');
  readonly #maps = new Map<string, number>();
  #btf: number | undefined;

  /** The verdict on one program. @throws {SyscallError} if a map cannot be made, or the kernel never got to verify */
  verdict(program: OracleProgram, detail: 'brief' | 'full' = 'brief'): KernelVerdict {
    const code = this.#encode(program);
    this.#code.bytes.set(code);
    const references = [...program.program.references.values()];
    const functions = references.some(({ kind }) => kind === 'function') ? program.program.subprograms : [];
    functions.forEach(({ start }, index) => {
      const slot = program.program.insns[start]!.slot;
      FunctionInfo.write(this.#functions.bytes, index * FunctionInfo.size, { slot, type: FUNCTION_TYPE });
    });
    this.#log.bytes[0] = 0;
    ProgLoad.write(this.#attr.bytes, 0, {
      ...UNSAID,
      type: KERNEL_TYPES[program.type],
      insnCount: code.length / 8,
      insns: this.#code.address,
      license: this.#license,
      logLevel: detail === 'full' ? LOG_EVERYTHING : LOG_STATISTICS,
      logSize: LOG_SIZE,
      log: this.#log.address,
      btf: functions.length > 0 ? this.#functionBtf() : 0,
      functionInfoSize: functions.length > 0 ? FunctionInfo.size : 0,
      functionInfo: functions.length > 0 ? this.#functions.address : 0n,
      functionInfoCount: functions.length,
    });
    return this.#load();
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps.values()) closeSync(map);
    if (this.#btf !== undefined) closeSync(this.#btf);
    this.#maps.clear();
    this.#memory[Symbol.dispose]();
  }

  #load(): KernelVerdict {
    for (let attempt = 1; ; attempt++) {
      try {
        closeSync(syscall('load a program', Sys.bpf, [Command.progLoad, this.#attr.address, ProgLoad.size]));
        return { accepted: true, ...splitLog(this.#logText()), message: '' };
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error;
        if (error.errno === 'EAGAIN' && attempt < ATTEMPTS) continue;
        const verdict = splitLog(this.#logText());
        // A program too large or an instruction unknown is refused without a word.
        return { accepted: false, ...verdict, message: verdict.message || error.errno };
      }
    }
  }

  #logText(): string {
    const { bytes } = this.#log;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.indexOf(0)).toString('latin1');
  }

  /** The instructions as the kernel takes them: references filled in. */
  #encode({ program, maps }: OracleProgram): Uint8Array {
    const insns = program.insns.map((insn, index): Insn => {
      const reference = program.references.get(index);
      if (isCallOfKernelFunction(insn)) return { ...insn, imm: kernelFunctionId(insn.imm) };
      if (reference === undefined) return insn;
      if (reference.kind === 'function') {
        const distance = program.insns[reference.insn]!.slot - insn.slot - 1;
        return withImmediate(insn, Pseudo.function, distance, 0);
      }
      const map = this.#map(maps, reference.map);
      if (reference.kind === 'map') return withImmediate(insn, Pseudo.mapFd, map, 0);
      return withImmediate(insn, Pseudo.mapValue, map, reference.offset);
    });
    return encode(insns);
  }

  #map(maps: readonly MapSpec[], name: string): number {
    const spec = maps.find((map) => map.name === name);
    if (spec === undefined) throw new RangeError(`no map ${name}`);
    return this.#mapOf(spec);
  }

  #mapOf(spec: MapSpec): number {
    const { name: _, initialValue, innerMap, extra, ...numbers } = spec;
    const hex = initialValue && Buffer.from(initialValue).toString('hex');
    const key = JSON.stringify([numbers, `${extra}`, hex, innerMap]);
    const known = this.#maps.get(key);
    if (known !== undefined) return known;
    const made = createMap(spec, innerMap === undefined ? 0 : this.#mapOf(innerMap));
    this.#maps.set(key, made);
    return made;
  }

  #functionBtf(): number {
    if (this.#btf === undefined) {
      using memory = new CallMemory();
      const attr = memory.reserve(BtfLoad.size);
      const { length: size } = FUNCTION_BTF;
      BtfLoad.write(attr.bytes, 0, { btf: memory.place(FUNCTION_BTF), log: 0n, size, logSize: 0, logLevel: 0 });
      this.#btf = syscall('load BTF', Sys.bpf, [Command.btfLoad, attr.address, BtfLoad.size]);
    }
    return this.#btf;
  }
}

function isCallOfKernelFunction(insn: Insn): boolean {
  const operation = operationOf(insn);
  return operation.kind === 'call' && operation.callee === 'kfunc' && isKernelFunction(insn.imm);
}

/** What the running kernel calls the function that has this number here. @throws {RangeError} if it has no such function */
function kernelFunctionId(number: number): number {
  const name = HELPERS.get(number)!.name;
  const id = kernelBtf(readKernel())?.byName('func', name)?.id;
  if (id === undefined) throw new RangeError(`the kernel has no function ${name}`);
  return id;
}

function createMap(spec: MapSpec, innerMap: number): number {
  using memory = new CallMemory();
  const attr = memory.reserve(MapCreate.size);
  const { type, keySize, valueSize, maxEntries, flags, initialValue } = spec;
  MapCreate.write(attr.bytes, 0, { type, keySize, valueSize, maxEntries, flags, innerMap });
  const map = syscall(`make the map ${spec.name}`, Sys.bpf, [Command.mapCreate, attr.address, MapCreate.size]);
  if ((flags & BPF_F_RDONLY_PROG) !== 0 && initialValue !== undefined) {
    const elem = memory.reserve(MapElem.size);
    const [key, value] = [memory.reserve(keySize).address, memory.place(initialValue)];
    MapElem.write(elem.bytes, 0, { map, pad: 0, key, value, flags: 0n });
    syscall(`fill the map ${spec.name}`, Sys.bpf, [Command.mapUpdateElem, elem.address, MapElem.size]);
    syscall(`freeze the map ${spec.name}`, Sys.bpf, [Command.mapFreeze, elem.address, 4]);
  }
  return map;
}

function withImmediate(insn: Insn, src: number, low: number, high: number): Insn {
  return { ...insn, src, imm: low, imm64: (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) };
}

const STATISTICS = /^(?:processed (\d+) insns|verification time|stack depth|mark_precise).*$/gm;

function splitLog(log: string): Pick<KernelVerdict, 'message' | 'processed'> {
  const processed = Number(/^processed (\d+) insns/m.exec(log)?.[1] ?? 0);
  return { message: log.replace(STATISTICS, '').replace(/\n+/g, '\n').trim(), processed };
}
