/**
 * A controller that enters a process, lays memory and code into it, and takes it out again; with the name of a function, it also
 * changes its first bytes in between. Usage: short-controller PID [FUNCTION]
 */
import { Injection } from '../../src/inject/injection.ts';
import { openProcess } from '../../src/process/target-process.ts';
import { countingPatch } from './counting-patch.ts';

const [pid, name] = process.argv.slice(2);
using target = openProcess(Number(pid));
using injection = new Injection(target);
const { address } = injection.share(4096);
if (name === undefined) {
  injection.layCode(target.modules()[0]!.start, () => ({ bytes: Uint8Array.of(0xc3), result: 0 }));
} else {
  const site = target.resolveFunction(target.modules()[0]!, name).address;
  const patch = countingPatch(injection, address, site);
  injection.patch(patch);
  injection.patch({ ...patch, wanted: patch.original, moves: new Map() });
}
