/**
 * Static probes: `SEC("usdt/BINARY:PROVIDER:NAME")`. Each is a nop that a note of the binary names; a program runs there as
 * at any instruction. What bpf_usdt_arg() needs is laid into the object's map `__bpf_usdt_specs`, as libbpf does, and
 * the attach cookie is the number of the entry. A semaphore counts listeners: it is raised as long as one is attached.
 */
import { PtRegs } from '../../arch/x64/pt-regs.ts';
import { readStaticProbes, type StaticProbe } from '../../elf/stapsdt.ts';
import { SymbolType } from '../../elf/symbols.ts';
import type { Module } from '../../process/module.ts';
import { codeMapOf } from '../../process/module-code.ts';
import type { TargetProcess } from '../../process/target-process.ts';
import type { AttachEntry, AttachImpl, AttachKind, EbpfCallback, PrivateData } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';
import { atInstruction } from './kinds.ts';
import type { LibraryProbes } from './libraries.ts';
import type { ProbePlace } from './plan.ts';
import type { UprobeSites } from './sites.ts';
import { parseUsdtArguments } from './usdt-arguments.ts';
import { raiseSemaphore } from './usdt-semaphore.ts';
import { layOutUsdtSpec, specLayoutOf } from './usdt-spec.ts';

/** The kernel and bpftime have no number of their own: there it is a uprobe with a cookie. */
export const USDT: AttachKind = { type: 1010, name: 'usdt', sections: ['usdt'], context: PtRegs, helpers: [] };

const SPECS_MAP = '__bpf_usdt_specs';

export class UsdtPrivateData implements PrivateData {
  readonly binary: string;
  readonly provider: string;
  readonly name: string;

  constructor(binary: string, provider: string, name: string) {
    this.binary = binary;
    this.provider = provider;
    this.name = name;
  }

  toString(): string {
    return `${this.binary}:${this.provider}:${this.name}`;
  }
}

/** @throws {AttachError} ATTACH_BAD_TARGET */
export function parseUsdt(text: string): UsdtPrivateData {
  const match = /^(.+):([^:]+):([^:]+)$/s.exec(text);
  if (match === null) {
    throw new AttachError('ATTACH_BAD_TARGET', `cannot attach to '${text}': wanted BINARY:PROVIDER:NAME`);
  }
  return new UsdtPrivateData(match[1]!, match[2]!, match[3]!);
}

export class UsdtAttachImpl implements AttachImpl<UsdtPrivateData> {
  readonly kinds = [USDT];
  readonly parsePrivateData = parseUsdt;
  readonly #process: TargetProcess;
  readonly #sites: UprobeSites;
  readonly #libraries: LibraryProbes;
  /** What lies in the map, by its bytes: sites with the same arguments share an entry. */
  readonly #specs = new Map<string, { readonly id: number; uses: number }>();

  constructor(process: TargetProcess, sites: UprobeSites, libraries: LibraryProbes) {
    this.#process = process;
    this.#sites = sites;
    this.#libraries = libraries;
  }

  createAttach(_kind: AttachKind, at: UsdtPrivateData, callback: EbpfCallback): AttachEntry {
    return this.#libraries.attach({
      binary: at.binary,
      target: `${at}`,
      check: (file) => findProbes(file, at),
      attach: (module) => this.#attach(module, at, callback),
    });
  }

  #attach(module: Module, at: UsdtPrivateData, callback: EbpfCallback): AttachEntry {
    const probes = findProbes(module, at);
    const undo: (() => void)[] = [];
    const detach = (): void => {
      for (const step of undo.splice(0).reverse()) step();
    };
    let method = '';
    try {
      for (const probe of probes) {
        const cookie = this.#describe(module, probe, callback, undo);
        const located = this.#sites.locate(placeOf(module, probe));
        const program = callback.compile(atInstruction(located.at), located.at, cookie);
        undo.push(this.#sites.add({ ...located, where: 'inside' }, { program }));
        if (probe.semaphore !== undefined) undo.push(raiseSemaphore(this.#process, module, probe.semaphore));
        method = located.site.method;
      }
    } catch (error) {
      detach();
      throw error;
    }
    return {
      target: `${module.name}:${at.provider}:${at.name}`,
      address: probes[0]!.address + module.bias,
      method,
      detach,
    };
  }

  /** Lays the arguments into the object's map; the result is the cookie under which the program finds them. */
  #describe(module: Module, { args, address }: StaticProbe, callback: EbpfCallback, undo: (() => void)[]): bigint {
    const map = callback.map(SPECS_MAP);
    // Who asks for no arguments has no map, and the cookie to himself.
    if (map === undefined) return callback.cookie;
    const around = { address: address + module.bias, symbol: (name: string) => findData(module, name) };
    const bytes = layOutUsdtSpec(specLayoutOf(map.spec, map.btf), parseUsdtArguments(args, around), callback.cookie);
    const key = bytes.join();
    const known = this.#specs.get(key);
    const spec = known ?? { id: this.#freeId(), uses: 0 };
    if (known === undefined) {
      if (map.update(new Uint8Array(Int32Array.of(spec.id).buffer), bytes) < 0) {
        throw new AttachError('ATTACH_USDT_ARGUMENT', `cannot describe arguments: ${SPECS_MAP} is full (${spec.id})`, {
          fix: 'compile the object with a larger BPF_USDT_MAX_SPEC_CNT',
        });
      }
      this.#specs.set(key, spec);
    }
    spec.uses++;
    undo.push(() => {
      if (--spec.uses === 0) this.#specs.delete(key);
    });
    return BigInt(spec.id);
  }

  #freeId(): number {
    const taken = new Set([...this.#specs.values()].map(({ id }) => id));
    let id = 0;
    while (taken.has(id)) id++;
    return id;
  }
}

function findProbes(module: Module, { provider, name }: UsdtPrivateData): readonly StaticProbe[] {
  const all = [...readStaticProbes(module.elf)];
  const found = all.filter((probe) => probe.provider === provider && probe.name === name);
  if (found.length > 0) return found;
  const names = [...new Set(all.map((probe) => `${probe.provider}:${probe.name}`))];
  throw new AttachError('ATTACH_NO_USDT', `cannot find static probe ${provider}:${name} in '${module.name}'`, {
    fix: names.length === 0 ? 'the file has no static probes' : `it has ${names.slice(0, 20).join(', ')}`,
  });
}

/** The address of a variable of the file; undefined if none or several are called so. */
function findData({ elf, bias }: Module, name: string): bigint | undefined {
  const found = [elf.symtab, elf.dynsym].flatMap((table) => [...(table?.find(name) ?? [])]);
  const addresses = new Set(found.filter(({ type }) => type !== SymbolType.TLS).map(({ value }) => value));
  return addresses.size === 1 ? [...addresses][0]! + bias : undefined;
}

/** The nop, by its distance from the function it is in. */
function placeOf(module: Module, { provider, name, address }: StaticProbe): ProbePlace {
  const { start, end } = codeMapOf(module.elf).functionBefore(Number(address)) ?? {
    start: Number(address),
    end: Number(address),
  };
  const target = { module, name: `${provider}:${name}`, address: BigInt(start) + module.bias, size: end - start };
  return { target, offset: Number(address) - start };
}
