/**
 * Memory of ours in the target: mapped by system calls it makes for us, believed only after /proc/PID/maps says the same.
 * Never writable and executable at once.
 */
import { alignUp } from '../bytes/align.ts';
import { ProcessError } from '../process/errors.ts';
import type { RemoteCalls } from '../process/remote-calls.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { isSysError } from '../sys/errors.ts';
import { readStatus } from '../sys/proc.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import { mapSharedFile, type SharedMapping } from '../sys/shared-mapping.ts';
import { InjectError } from './errors.ts';
import { findGap, PAGE_SIZE } from './gaps.ts';

/** An address range in the target that is ours. `size` is whole pages. */
export interface Region {
  readonly address: bigint;
  readonly size: number;
}

/** A thread as the session found it: what emitted code may learn from it about all others. */
export interface SampleThread {
  /** Its thread pointer. */
  readonly fsBase: bigint;
  /** Its id in its own pid namespace. */
  readonly tid: number;
}

/** What a session begins with. */
export interface SessionMemory {
  readonly codeRegion: Region;
  /** Zero in every child that the target forks. */
  readonly privateRegion: Region;
  readonly sharedRegion: Region;
  readonly mapping: SharedMapping;
  readonly thread: SampleThread;
}

const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_SHARED = 0x1;
const MAP_FIXED = 0x10;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_NORESERVE = 0x4000;
/** Fails rather than replace what another thread mapped meanwhile. */
const MAP_FIXED_NOREPLACE = 0x10_0000;
const MADV_WIPEONFORK = 18;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
/** Wanted by systems that forbid executable memory files; unknown to kernels before 6.3. */
const MFD_NOEXEC_SEAL = 8;

/** Other threads map memory too, and may be faster. */
const ATTEMPTS = 4;

/**
 * Maps `size` bytes for code that `near` reaches.
 *
 * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
 * @throws {ProcessError}
 */
export function mapCode(process: TargetProcess, near: bigint, size: number): Region {
  return mapWhereFree(process, near, size, {
    protection: PROT_READ_EXEC,
    fill: (_, address) => ({ address, size }),
    expect: (region) => [{ region, permissions: 'r-xp', inode: 0n }],
  });
}

/**
 * Maps what a session needs, behind one another and within reach of `near`, all in one stop of one thread:
 *
 *     | code, `codeSize` bytes | a page that only the target sees | `sharedSize` bytes that we see too |
 *
 * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
 * @throws {ProcessError | SysError}
 */
export function mapSession(
  process: TargetProcess,
  near: bigint,
  { codeSize, sharedSize }: { readonly codeSize: number; readonly sharedSize: number },
): SessionMemory {
  const size = alignUp(sharedSize, PAGE_SIZE);
  return mapWhereFree(process, near, codeSize + PAGE_SIZE + size, {
    protection: PROT_READ_EXEC,
    fill(calls, address) {
      const codeRegion = { address, size: codeSize };
      const privateRegion = { address: address + BigInt(codeSize), size: PAGE_SIZE };
      const sharedRegion = { address: privateRegion.address + BigInt(PAGE_SIZE), size };
      const fixed = MAP_PRIVATE_ANONYMOUS | MAP_FIXED;
      calls.call('mmap', privateRegion.address, PAGE_SIZE, PROT_READ_WRITE, fixed, -1, 0);
      calls.call('madvise', privateRegion.address, PAGE_SIZE, MADV_WIPEONFORK);
      const mapping = shareRegion(process, calls, sharedRegion);
      const thread = { fsBase: calls.registers.fsBase, tid: readStatus(calls.tid).namespacePids.at(-1) ?? calls.tid };
      return { codeRegion, privateRegion, sharedRegion, mapping, thread };
    },
    expect: ({ codeRegion, privateRegion, sharedRegion, mapping }) => [
      { region: codeRegion, permissions: 'r-xp', inode: 0n },
      { region: privateRegion, permissions: 'rw-p', inode: 0n },
      { region: sharedRegion, permissions: 'rw-s', inode: mapping.inode },
    ],
  });
}

/**
 * Maps `size` bytes that only the target sees; each child it forks gets a copy.
 *
 * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
 * @throws {ProcessError}
 */
export function mapInherited(process: TargetProcess, near: bigint, size: number): Region {
  return mapWhereFree(process, near, size, {
    protection: PROT_READ_WRITE,
    fill: (_, address) => ({ address, size }),
    expect: (region) => [{ region, permissions: 'rw-p', inode: 0n }],
  });
}

/** Unmaps regions in one stop of one thread. They must be ours still: after an exec other things lie there. */
export function unmap(process: TargetProcess, regions: readonly Region[]): void {
  process.withRemoteCalls((calls) => {
    if (process.isGone()) return;
    for (const { address, size } of regions) calls.call('munmap', address, size);
  });
}

interface Expectation {
  readonly region: Region;
  readonly permissions: string;
  readonly inode: bigint;
}

interface Plan<T> {
  readonly protection: number;
  /** What is done with the memory once it is ours; `expect` tells what must be mapped then. */
  fill(calls: RemoteCalls, address: bigint): T;
  expect(filled: T): readonly Expectation[];
}

function mapWhereFree<T>(process: TargetProcess, near: bigint, size: number, plan: Plan<T>): T {
  for (let attempt = 1; ; attempt++) {
    const address = findGap(process.mappings(), near, size);
    if (address === undefined) {
      throw new InjectError(
        'INJECT_NO_GAP',
        `cannot map ${size} bytes within 2 GB of 0x${near.toString(16)}: no gap is large enough`,
      );
    }
    try {
      const filled = process.withRemoteCalls((calls) => mapAndFill(calls, address, size, plan));
      const mappings = process.mappings();
      for (const expectation of plan.expect(filled)) verify(mappings, expectation);
      return filled;
    } catch (error) {
      const isTaken = error instanceof ProcessError && isSysError(error.cause, 'SYS_EEXIST');
      if (attempt === ATTEMPTS || !isTaken) throw error;
    }
  }
}

/** The whole range is taken first: what lies in it is ours to replace, and to unmap if the rest fails. */
function mapAndFill<T>(calls: RemoteCalls, address: bigint, size: number, { protection, fill }: Plan<T>): T {
  const flags = MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  const mapped = calls.call('mmap', address, size, protection, flags, -1, 0);
  if (mapped !== address) {
    throw new InjectError(
      'INJECT_BAD_ANSWER',
      `cannot map memory at 0x${address.toString(16)}: the target says it is at 0x${BigInt.asUintN(64, mapped).toString(16)}`,
    );
  }
  try {
    return fill(calls, address);
  } catch (error) {
    calls.call('munmap', address, size);
    throw error;
  }
}

/** Puts a memory file into a region that is ours, and maps it here too. The target keeps no descriptor of it. */
function shareRegion(process: TargetProcess, calls: RemoteCalls, { address, size }: Region): SharedMapping {
  const fd = createMemoryFile(calls);
  try {
    const mapping = mapSharedFile(`/proc/${process.procId}/fd/${fd}`, size);
    calls.callWithFile('mmap', address, size, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    return mapping;
  } finally {
    calls.call('close', fd);
  }
}

function createMemoryFile(calls: RemoteCalls): bigint {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  try {
    return calls.createFile('memfd_create', calls.nameAddress, flags | MFD_NOEXEC_SEAL);
  } catch (error) {
    if (!(error instanceof ProcessError && isSysError(error.cause, 'SYS_EINVAL'))) throw error;
    return calls.createFile('memfd_create', calls.nameAddress, flags);
  }
}

/** A target that is traced or filtered by others can be made to answer anything. */
function verify(mappings: readonly Mapping[], { region, permissions, inode }: Expectation): void {
  const mapping = mappingAt(mappings, region.address);
  const end = region.address + BigInt(region.size);
  if (mapping?.permissions === permissions && mapping.inode === inode && mapping.end >= end) return;
  throw new InjectError(
    'INJECT_BAD_ANSWER',
    `cannot use memory at 0x${region.address.toString(16)}: the target says it mapped it, /proc/PID/maps says otherwise`,
  );
}
