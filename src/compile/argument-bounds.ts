/** What a helper's prototype says of the memory that its arguments point to, told to the passes. */
import { Dynptr } from '../helpers/dynptr.ts';
import type { EmitMap, Helper } from '../helpers/helper.ts';
import { NumberIterator } from '../helpers/number-iterator.ts';
import type { ArgType } from '../helpers/prototype.ts';
import type { Builder } from '../ir/builder.ts';
import type { Operation, Value } from '../ir/value.ts';
import type { MapSpec } from '../maps/map-type.ts';

/** A helper's arguments, each with the bytes that it points to if that is known. @param handles which maps values stand for */
export function boundArguments(
  b: Builder,
  { args: types }: Helper,
  args: readonly Value[],
  handles: ReadonlyMap<Value, EmitMap>,
): Value[] {
  const map = args[types.indexOf('map')];
  const spec = map && handles.get(map)?.spec;
  return types.map((type, index) => {
    const size = BOUNDS[type]?.(spec, args[index + 1]?.operation);
    return size === undefined ? args[index]! : b.bounded(args[index]!, size);
  });
}

/** How many bytes an argument of this type points to, if that is known now. */
const BOUNDS: Partial<Record<ArgType, (map: MapSpec | undefined, next: Operation | undefined) => number | undefined>> =
  {
    mapKey: (map) => map?.keySize,
    mapValue: (map) => map?.valueSize,
    memRead: (_, size) => constantSize(size),
    memWrite: (_, size) => constantSize(size),
    wordWrite: () => 8,
    newLocalDynptr: () => Dynptr.bytes,
    newRingbufDynptr: () => Dynptr.bytes,
    ringbufDynptr: () => Dynptr.bytes,
    dynptr: () => Dynptr.bytes,
    newIterator: () => NumberIterator.bytes,
    drawnIterator: () => NumberIterator.bytes,
    destroyedIterator: () => NumberIterator.bytes,
  };

function constantSize(size: Operation | undefined): number | undefined {
  return size?.op === 'const' && size.value < MAX_STACK ? Number(size.value) : undefined;
}

/** Larger memory is no stack, and only there bounds matter. */
const MAX_STACK = 512n;
