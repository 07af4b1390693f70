/** Every helper there is: a new one is a row in its family's file and a name here. */
import type { Helper } from './helper.ts';
import { mapDeleteElem, mapLookupElem, mapUpdateElem } from './map-elem.ts';

const ROWS: readonly Helper[] = [mapLookupElem, mapUpdateElem, mapDeleteElem];

/** By the kernel's number. */
export const HELPERS: ReadonlyMap<number, Helper> = new Map(ROWS.map((helper) => [helper.id, helper]));

/** The helper of that name, undefined if there is none. */
export function helperByName(name: string): Helper | undefined {
  return ROWS.find((helper) => helper.name === name);
}
