/** Runs a map's emitted code in threads of real processes: tests/targets/map-hammer.c, on memory the test can look at. */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Assembler } from '../../src/arch/x64/assembler.ts';
import { emitSysVFunction } from '../../src/arch/x64/lower.ts';
import { alignUp } from '../../src/bytes/align.ts';
import { optimize } from '../../src/ir/passes/optimize.ts';
import type { MapMemory, MapSpec, MapType } from '../../src/maps/map-type.ts';
import { mapMemory } from '../../src/maps/memory.ts';
import { libc, viewOfMemory } from '../../src/sys/libc.ts';
import { ROOT } from '../support/root.ts';
import { mapFunctions } from './emitted-map.ts';

const MAP = 0x5000_0000_0000n;
const CODE = 0x5000_4000_0000n;
const PAGE = 4096;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** What the threads do; told in map-hammer.c. */
export type HammerMode = 'count' | 'tickets' | 'own' | 'kill' | 'pass' | 'passKilled';

/** How hard. */
export interface Blows {
  readonly processes: number;
  readonly threads: number;
  readonly milliseconds: number;
  /** Different keys in use. */
  readonly keys: number;
}

/** The numbers that the driver printed, by name. */
export type HammerReport = Readonly<Record<string, readonly bigint[]>>;

/** The driver, compiled once for a test file. */
export class Hammer implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'map-hammer-'));
  readonly #program = join(this.#directory, 'map-hammer');

  /** @throws Error if there is no gcc */
  constructor() {
    const source = join(ROOT, 'tests/targets/map-hammer.c');
    execFileSync('gcc', ['-O2', '-pthread', '-o', this.#program, source]);
  }

  /** An empty map that the driver's processes and this one share. */
  map(type: MapType, spec: MapSpec): HammeredMap {
    return new HammeredMap(type, spec, this.#program, join(this.#directory, 'memory'));
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

export class HammeredMap implements Disposable {
  readonly memory: MapMemory;
  readonly #spec: MapSpec;
  readonly #program: string;
  readonly #file: string;
  readonly #address: number;
  readonly #pages: number;
  readonly #code: Uint8Array;
  readonly #entries: readonly number[];

  constructor(type: MapType, spec: MapSpec, program: string, file: string) {
    this.#spec = spec;
    this.#program = program;
    this.#file = file;
    const size = type.size(spec);
    this.#pages = alignUp(size, PAGE);
    [this.#code, this.#entries] = assemble(type, spec);

    const fd = openSync(file, 'w+');
    writeSync(fd, new Uint8Array(this.#pages));
    writeSync(fd, this.#code);
    this.#address = libc('mmap', 'mmap', 0, this.#pages, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    closeSync(fd);
    this.memory = mapMemory(new Uint8Array(viewOfMemory(this.#address, this.#pages), 0, size));
    type.init(this.memory, spec);
  }

  /** Lets the threads loose; resolves when all have ended. @throws Error with what the driver complained of */
  async hammer(mode: HammerMode, { processes, threads, milliseconds, keys }: Blows): Promise<HammerReport> {
    const { keySize, valueSize } = this.#spec;
    const numbers = [processes, threads, milliseconds, keys, this.#pages, this.#code.length, ...this.#entries];
    const child = spawn(this.#program, [this.#file, mode, ...[...numbers, keySize, valueSize].map(String)]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    const [output, complaint] = await Promise.all([text(child.stdout), text(child.stderr)]);
    if ((await ended) !== 0) throw new Error(`map-hammer ${mode}: ${complaint}`);
    const report: Record<string, bigint[]> = {};
    for (const [, name, number] of output.matchAll(/^(\w+) (-?\d+)$/gm)) {
      report[name!] ??= [];
      report[name!]!.push(BigInt(number!));
    }
    return report;
  }

  [Symbol.dispose](): void {
    libc('munmap', 'munmap', this.#address, this.#pages);
  }
}

/** The map's operations as machine code for CODE, and where each begins. */
function assemble(type: MapType, spec: MapSpec): [code: Uint8Array, entries: number[]] {
  const a = new Assembler(CODE);
  const functions = mapFunctions(type, spec, MAP);
  const entries = [functions.lookup, functions.update, functions.delete].map((fn) => {
    const entry = a.size;
    optimize(fn);
    emitSysVFunction(a, fn);
    return entry;
  });
  return [a.finish(), entries];
}
