/** Global variables of a target, by name. */
import type { TargetProcess } from '../../src/index.ts';

/** @param size of the variable in bytes */
export function readVariable(target: TargetProcess, module: string, name: string, size = 8): bigint {
  const bytes = new Uint8Array(8);
  bytes.set(target.memory.read(addressOf(target, module, name), size));
  return new BigUint64Array(bytes.buffer)[0]!;
}

export function writeVariable(target: TargetProcess, module: string, name: string, value: bigint): void {
  target.memory.write(addressOf(target, module, name), new Uint8Array(BigUint64Array.of(value).buffer));
}

/** Where a variable lies in the target. */
export function addressOf(target: TargetProcess, module: string, name: string): bigint {
  const { elf, bias } = target.findModule(module);
  const symbol = elf.findSymbol(name);
  if (symbol === undefined) throw new Error(`${module} has no variable ${name}`);
  return symbol.value + bias;
}
