/** The maps of an object in its maps of maps: by number there, by name for people. */
import { whyNoInnerMap } from '../maps/inner-map.ts';
import { Errno } from '../maps/map-type.ts';
import type { BpfMap } from './bpf-map.ts';
import { RuntimeError } from './errors.ts';

/** Has maps of maps hold maps of the object, and puts those in that the object says. @throws {RuntimeError} RUNTIME_BAD_SLOT */
export function holdMaps(maps: readonly BpfMap[]): void {
  for (const outer of maps.filter(({ holds }) => holds === 'maps')) {
    const template = outer.spec.innerMap;
    if (template === undefined) {
      throw new RuntimeError(
        'RUNTIME_BAD_SLOT',
        `cannot create map ${outer.name}: it does not say what maps it holds`,
        {
          fix: 'say it: __array(values, struct ...)',
        },
      );
    }
    outer.hold({
      nameOf: (number) => maps[number - 1]?.name,
      numberOf(thing) {
        const inner = maps.find((map) => map === thing);
        if (inner === undefined) return -Errno.EBADF;
        return whyNoInnerMap(inner.spec, template) === undefined ? 1 + maps.indexOf(inner) : -Errno.EINVAL;
      },
    });
    for (const { index, name } of outer.spec.initialSlots ?? []) {
      const inner = maps.find((map) => map.name === name)!;
      const result = outer.update(index, inner);
      if (result === 0) continue;
      const why = whyNoInnerMap(inner.spec, template) ?? `error ${-result}`;
      throw new RuntimeError('RUNTIME_BAD_SLOT', `cannot put ${name} into map ${outer.name}: ${why}`);
    }
  }
}
