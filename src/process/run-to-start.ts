/**
 * Where a new program is entered: before its first instruction if it is static, before the first constructor of its
 * libraries otherwise, when they are mapped and relocated. The linker tells debuggers when all are mapped
 * (`_dl_debug_state`); from there it is stopped at whichever of the functions that it may call first. Linkers that leave
 * constructors to the program (musl) come to its entry first.
 * Source: glibc elf/rtld.c and elf/dl-init.c; musl ldso/dynlink.c.
 */
import { viewOf } from '../bytes/struct.ts';
import { DynamicTag } from '../elf/dynamic.ts';
import { readAuxiliaryVector } from '../sys/auxiliary-vector.ts';
import { readMaps } from '../sys/proc-maps.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import { Breakpoints } from './breakpoints.ts';
import { groupModules, Module } from './module.ts';
import { readModuleFile } from './module-file.ts';
import { NOTIFY_SYMBOL, R_DEBUG_SYMBOL, RDebug, RDebugState } from './r-debug.ts';

const POINTER_SIZE = 8n;

/**
 * Lets a child run from its exec stop to where it is to be entered; false if it ended before that.
 *
 * @throws {SysError | ProcessError | ElfError}
 */
export function runToStart(pid: number): boolean {
  const { linkerBase, entry } = readAuxiliaryVector(pid);
  if (linkerBase === 0n) return true;
  using memory = new ProcessMemory(pid);
  const linker = modulesOf(pid, memory).find(({ start }) => start === linkerBase);
  const notify = linker && addressOf(linker, NOTIFY_SYMBOL);
  const state = linker && addressOf(linker, R_DEBUG_SYMBOL);

  using breakpoints = new Breakpoints(pid, memory);
  breakpoints.add(entry);
  if (notify !== undefined) breakpoints.add(notify);
  let reached = breakpoints.run();
  while (reached !== undefined && reached === notify) {
    if (state !== undefined && isConsistent(memory, state)) {
      for (const address of firstCalled(modulesOf(pid, memory), memory, entry)) breakpoints.add(address);
    }
    if (!breakpoints.stepOver(reached)) return false;
    reached = breakpoints.run();
  }
  return reached !== undefined;
}

function modulesOf(pid: number, memory: ProcessMemory): readonly Module[] {
  return groupModules(readMaps(pid)).map((mappings) => new Module(mappings, (m) => readModuleFile(pid, m, memory)));
}

function addressOf(module: Module, symbol: string): bigint | undefined {
  const found = module.elf.findSymbol(symbol);
  return found && found.value + module.bias;
}

function isConsistent(memory: ProcessMemory, address: bigint): boolean {
  const { version, state } = RDebug.read(memory.read(address, RDebug.size));
  return version !== 0 && state === RDebugState.CONSISTENT;
}

/** Of each module the function that the linker calls first, if it calls any; the program's own it leaves to the program. */
function* firstCalled(modules: readonly Module[], memory: ProcessMemory, entry: bigint): Generator<bigint> {
  for (const module of modules) {
    const { dynamic } = module.elf;
    if (dynamic === undefined) continue;
    const isProgram = module.holdsCode(entry);
    const init = isProgram ? undefined : dynamic.value(DynamicTag.INIT);
    if (init !== undefined) yield* codeAt(init, module, modules);
    const [array, size] = isProgram
      ? [DynamicTag.PREINIT_ARRAY, DynamicTag.PREINIT_ARRAYSZ]
      : [DynamicTag.INIT_ARRAY, DynamicTag.INIT_ARRAYSZ];
    const start = dynamic.value(array);
    if (start === undefined || (dynamic.value(size) ?? 0n) < POINTER_SIZE) continue;
    const first = memory.read(start + module.bias, Number(POINTER_SIZE));
    yield* codeAt(viewOf(first).getBigUint64(0, true), module, modules);
  }
}

/** What an address of a module means, whether it is relocated yet or not; nothing if it leads to no code. */
function* codeAt(address: bigint, module: Module, modules: readonly Module[]): Generator<bigint> {
  if (modules.some((other) => other.holdsCode(address))) yield address;
  else if (module.holdsCode(address + module.bias)) yield address + module.bias;
}
