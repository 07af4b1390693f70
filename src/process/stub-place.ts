/**
 * Where the call stub may lie: the zeros between the end of a code segment and the end of its last page.
 * Only private mappings of files: writing there gives the target a page of its own, and no other process sees it.
 */
import { alignDownAddress } from '../bytes/align.ts';
import type { Mapping } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { isStub, STUB_SIZE } from './call-stub.ts';
import { ProcessError } from './errors.ts';

/** Zeros wanted in front of the stub: fewer might be the end of the code's own data. */
const DISTANCE = 64;

/** An address for STUB_SIZE bytes. @throws {ProcessError} PROCESS_NO_ROOM */
export function findStubPlace(mappings: readonly Mapping[], memory: ProcessMemory): bigint {
  for (const at of places(mappings)) {
    const bytes = memory.read(at - BigInt(DISTANCE), DISTANCE + STUB_SIZE);
    if (bytes.every((byte) => byte === 0)) return at;
  }
  throw new ProcessError(
    'PROCESS_NO_ROOM',
    `cannot have the process make system calls: no code segment ends with ${DISTANCE + STUB_SIZE} zeros`,
  );
}

/** Addresses of stubs left by controllers that were killed. */
export function findStaleStubs(mappings: readonly Mapping[], memory: ProcessMemory): readonly bigint[] {
  return places(mappings).filter((at) => isStub(memory.read(at, STUB_SIZE)));
}

/** Files first: the kernel's own page is wanted by every process. */
function places(mappings: readonly Mapping[]): readonly bigint[] {
  const code = mappings.filter(({ permissions }) => permissions === 'r-xp');
  return [...code.filter(({ path }) => path.startsWith('/')), ...code.filter(({ path }) => path === '[vdso]')].map(
    ({ end }) => alignDownAddress(end - BigInt(STUB_SIZE), 16n),
  );
}
