/** Values in the kernel's words, for refusals and for listings of states. */
import { constantOf, describeScalar } from './scalar.ts';
import type { Pointer, Region, RegisterValue } from './value.ts';

const NAMES: Readonly<Record<Region['kind'], string>> = {
  context: 'ctx',
  stack: 'fp',
  map: 'map_ptr',
  mapValue: 'map_value',
  mapKey: 'map_key',
  memory: 'mem',
  function: 'func',
  task: 'ptr_',
  dynptr: 'dynptr_ptr',
};

/** The kernel's name of what a value is: 'scalar', 'map_value_or_null'. */
export function typeName(value: RegisterValue): string {
  if (value.kind === 'scalar') return 'scalar';
  const { region, orNull } = value;
  // What a lookup gave, in the kernel's eyes, until it was tested.
  if (region.kind === 'map' && orNull) return 'map_value_or_null';
  const prefix = region.kind === 'memory' ? memoryPrefix(region) : '';
  return `${prefix}${NAMES[region.kind]}${orNull ? '_or_null' : ''}`;
}

function memoryPrefix(region: Region & { kind: 'memory' }): string {
  return `${region.origin === 'ringbuf' ? 'ringbuf_' : ''}${region.writable ? '' : 'rdonly_'}`;
}

/** A value as the kernel's log shows it. */
export function describeValue(value: RegisterValue): string {
  return value.kind === 'scalar' ? describeScalar(value.scalar) : describePointer(value);
}

function describePointer(pointer: Pointer): string {
  const { region, offset, variable } = pointer;
  const facts: string[] = [];
  if (region.kind === 'mapValue' || region.kind === 'mapKey' || region.kind === 'map') {
    facts.push(`map=${region.map.name}`, `ks=${region.map.keySize}`, `vs=${region.map.valueSize}`);
  }
  if (region.kind === 'memory') facts.push(`sz=${region.size}`);
  if (region.kind === 'stack') {
    const frame = region.frame === 0 ? '' : `[${region.frame}]`;
    return constantOf(variable) === 0n
      ? `fp${frame}${offset}`
      : `fp${frame}(off=${offset},${describeScalar(variable)})`;
  }
  if (offset !== 0) facts.push(`off=${offset}`);
  if (constantOf(variable) !== 0n) facts.push(`var=${describeScalar(variable)}`);
  return `${typeName(pointer)}(${facts.join(',')})`;
}
