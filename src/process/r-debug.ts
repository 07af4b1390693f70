/**
 * What the dynamic linker tells debuggers: a function that it calls whenever libraries come or go, and what it is doing then.
 * Source: struct r_debug in <link.h>; glibc elf/dl-open.c, elf/dl-close.c; musl ldso/dynlink.c.
 */
import { struct } from '../bytes/struct.ts';

export const RDebug = struct('r_debug', 32, {
  version: 'u32',
  pad: 'u32',
  map: 'u64',
  notify: 'u64',
  state: 'u32',
  pad2: 'u32',
});

/** What `state` says: all is done, or libraries are about to come or to go. */
export const RDebugState = { CONSISTENT: 0, ADD: 1, DELETE: 2 } as const;

/** Called when `state` has changed: behind the mapping of libraries, in front of their relocation and constructors. */
export const NOTIFY_SYMBOL = '_dl_debug_state';
export const R_DEBUG_SYMBOL = '_r_debug';
