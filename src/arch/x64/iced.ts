/**
 * iced-x86, loaded when it is first needed: its WebAssembly takes tens of milliseconds to start, and most commands never
 * decode an instruction.
 */
import { createRequire } from 'node:module';

type Iced = typeof import('iced-x86');

let loaded: Iced | undefined;

export function iced(): Iced {
  loaded ??= createRequire(import.meta.url)('iced-x86') as Iced;
  return loaded;
}
