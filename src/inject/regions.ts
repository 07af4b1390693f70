/**
 * Memory of ours in the target: mapped by system calls it makes for us, believed only after /proc/PID/maps says the same.
 * Never writable and executable at once.
 */
import { alignUp } from '../bytes/align.ts';
import type { CallArgument, RemoteCall } from '../process/call-stub.ts';
import { ProcessError } from '../process/errors.ts';
import type { RemoteCalls } from '../process/remote-calls.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { readSampleThread, type SampleThread } from '../process/thread-pointer.ts';
import { isSysError } from '../sys/errors.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import {
  type FilePart,
  mapSharedFile,
  type SharedFilePlan,
  type SharedMapping,
  type SharedPart,
} from '../sys/shared-mapping.ts';
import { InjectError } from './errors.ts';
import { findGap, PAGE_SIZE } from './gaps.ts';
import { joinPart } from './join.ts';

/** An address range in the target that is ours. `size` is whole pages. */
export interface Region {
  readonly address: bigint;
  readonly size: number;
}

/** What a session begins with: one range of addresses, which was taken in one step. */
export interface SessionMemory {
  readonly whole: Region;
  readonly sharedRegion: Region;
  /** Zero in every child that the target forks. */
  readonly privateRegion: Region;
  readonly codeRegion: Region;
  readonly mapping: SharedMapping;
  readonly thread: SampleThread;
}

/** What a session is to have, and what its memory begins with: that is there before anything is mapped. */
export interface SessionPlan {
  readonly codeSize: number;
  readonly sharedSize: number;
  /** What of the shared memory is to be had once more on its own. */
  readonly common: FilePart | undefined;
  /** What of the shared memory is another target's too, and where of it a message may lie before anything else does. */
  readonly joined: { readonly part: SharedPart; readonly scratch: number } | undefined;
  head(whole: Region): Uint8Array;
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
/** MFD_CLOEXEC | MFD_ALLOW_SEALING */
const MEMORY_FILE = 1 | 2;
/** Wanted by systems that forbid executable memory files; unknown to kernels before 6.3. */
const MFD_NOEXEC_SEAL = 8;

/** Other threads map memory too, and may be faster. */
const ATTEMPTS = 4;

/**
 * Maps `size` bytes for code that `near` reaches.
 *
 * @param note is told where, before it is mapped; the result is called if it could not be
 * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
 * @throws {ProcessError}
 */
export function mapCode(process: TargetProcess, near: bigint, size: number, note: NoteRegion): Region {
  return mapAnonymous(process, near, size, PROT_READ_EXEC, note);
}

/** As `mapCode`: bytes that only the target sees; each child it forks gets a copy. */
export function mapInherited(process: TargetProcess, near: bigint, size: number, note: NoteRegion): Region {
  return mapAnonymous(process, near, size, PROT_READ_WRITE, note);
}

/** Told of a region before it is mapped; the result takes that back. */
export type NoteRegion = (region: Region) => () => void;

/**
 * Maps what a session needs, behind one another and within reach of `near`, all in one stop of one thread:
 *
 *     | `sharedSize` bytes that we see too | a page that only the target sees | code, `codeSize` bytes |
 *
 * The first call maps the memory file over all of it, so that from then on whoever finds the file mapped there knows that
 * all of it is ours, whatever of it has been replaced since.
 *
 * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
 * @throws {ProcessError | SysError}
 */
export function mapSession(
  process: TargetProcess,
  near: bigint,
  { codeSize, sharedSize, common, joined, head }: SessionPlan,
): SessionMemory {
  const size = alignUp(sharedSize, PAGE_SIZE);
  const wholeSize = size + PAGE_SIZE + codeSize;
  return mapWhereFree(process, near, wholeSize, {
    prepare(address) {
      const whole = { address, size: wholeSize };
      const sharedRegion = { address, size };
      const privateRegion = { address: address + BigInt(size), size: PAGE_SIZE };
      const codeRegion = { address: privateRegion.address + BigInt(PAGE_SIZE), size: codeSize };
      const plan = { size, head: head(whole), part: common };
      const path = `/proc/${process.procId}/fd`;
      const fixed = MAP_PRIVATE_ANONYMOUS | MAP_FIXED;
      const maps = [
        { ...mmap(whole, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, 'file'), wanted: address },
        mmap(privateRegion, PROT_READ_WRITE, fixed),
        { name: 'madvise', args: [privateRegion.address, PAGE_SIZE, MADV_WIPEONFORK] },
        mmap(codeRegion, PROT_READ_EXEC, fixed | MAP_NORESERVE),
        CLOSE_FILE,
      ] as const;
      const body = (calls: RemoteCalls) => {
        const mapping = createMemoryFile(calls, path, plan);
        runOrUndo(calls, whole, mapping, maps);
        if (joined !== undefined) joinOrUndo(process, calls, whole, mapping, joined);
        const thread = readSampleThread(process.memory, process.facts, calls.tid, calls.registers.fsBase);
        return { whole, sharedRegion, privateRegion, codeRegion, mapping, thread };
      };
      return { runs: [CREATE_FILE, maps], body };
    },
    expect: ({ codeRegion, privateRegion, sharedRegion, mapping }) => [
      ...sharedRegions(sharedRegion, mapping, joined?.part),
      { region: privateRegion, permissions: 'rw-p', inode: 0n },
      { region: codeRegion, permissions: 'r-xp', inode: 0n },
    ],
  });
}

/** Unmaps regions in one stop of one thread. They must be ours still: after an exec other things lie there. */
export function unmap(process: TargetProcess, regions: readonly Region[]): void {
  const unmaps = regions.map(munmap);
  process.withRemoteCalls(
    (calls) => {
      if (!process.isGone()) calls.run(unmaps);
    },
    [unmaps],
  );
}

/** What of the shared memory is which file. */
function sharedRegions(whole: Region, { inode }: SharedMapping, part: SharedPart | undefined): readonly Expectation[] {
  const permissions = 'rw-s';
  if (part === undefined) return [{ region: whole, permissions, inode }];
  const end = part.offset + part.size;
  return [
    { region: { address: whole.address, size: part.offset }, permissions, inode },
    { region: { address: whole.address + BigInt(part.offset), size: part.size }, permissions, inode: part.inode },
    { region: { address: whole.address + BigInt(end), size: whole.size - end }, permissions, inode },
  ];
}

interface Expectation {
  readonly region: Region;
  readonly permissions: string;
  readonly inode: bigint;
}

interface Plan<T> {
  /** What needs no thread of the target; `body` maps all of it where nothing is mapped, by `runs`, or fails and leaves nothing. */
  prepare(address: bigint): {
    readonly runs: readonly (readonly RemoteCall[])[];
    readonly body: (calls: RemoteCalls) => T;
  };
  /** What must be mapped then. */
  expect(mapped: T): readonly Expectation[];
}

function mapWhereFree<T>(process: TargetProcess, near: bigint, size: number, { prepare, expect }: Plan<T>): T {
  for (let attempt = 1; ; attempt++) {
    const address = findGap(process.mappings(), near, size);
    if (address === undefined) {
      throw new InjectError(
        'INJECT_NO_GAP',
        `cannot map ${size} bytes within 2 GB of 0x${near.toString(16)}: no gap is large enough`,
      );
    }
    try {
      const { body, runs } = prepare(address);
      const mapped = process.withRemoteCalls(body, runs);
      const mappings = process.mappings();
      for (const expectation of expect(mapped)) verify(mappings, expectation);
      return mapped;
    } catch (error) {
      const isTaken = error instanceof ProcessError && isSysError(error.cause, 'SYS_EEXIST');
      if (attempt === ATTEMPTS || !isTaken) throw error;
    }
  }
}

function mapAnonymous(
  process: TargetProcess,
  near: bigint,
  size: number,
  protection: number,
  note: NoteRegion,
): Region {
  return mapWhereFree(process, near, size, {
    prepare(address) {
      const flags = MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
      const maps = [{ ...mmap({ address, size }, protection, flags), wanted: address }];
      const body = (calls: RemoteCalls) => {
        const takeBack = note({ address, size });
        try {
          calls.run(maps);
        } catch (error) {
          takeBack();
          throw error;
        }
        return { address, size };
      };
      return { runs: [maps], body };
    },
    expect: (region) => [{ region, permissions: protection === PROT_READ_EXEC ? 'r-xp' : 'rw-p', inode: 0n }],
  });
}

/** The first of `calls` maps `whole`: if a later one fails, all of it is unmapped, and the file closed in any case. */
function runOrUndo(calls: RemoteCalls, whole: Region, mapping: Disposable, wanted: readonly RemoteCall[]): void {
  const { done, error } = calls.tryRun(wanted);
  if (error === undefined) return;
  mapping[Symbol.dispose]();
  calls.run([...(done > 0 ? [munmap(whole)] : []), ...(calls.file === undefined ? [] : [CLOSE_FILE])]);
  throw error;
}

function joinOrUndo(
  process: TargetProcess,
  calls: RemoteCalls,
  whole: Region,
  mapping: SharedMapping,
  { part, scratch }: NonNullable<SessionPlan['joined']>,
): void {
  try {
    const bytes = new Uint8Array(mapping.buffer, scratch);
    const address = whole.address + BigInt(part.offset);
    joinPart(process, calls, part, address, { address: whole.address + BigInt(scratch), bytes });
  } catch (error) {
    mapping[Symbol.dispose]();
    calls.run([munmap(whole)]);
    throw error;
  }
}

/** Makes a memory file in the target, gives it its size and maps it here. The target has it open still. @param path of its descriptors */
function createMemoryFile(calls: RemoteCalls, path: string, plan: SharedFilePlan): SharedMapping {
  const { error } = calls.tryRun(CREATE_FILE);
  if (isSysError(error?.cause, 'SYS_EINVAL')) calls.run([memfdCreate(MEMORY_FILE)]);
  else if (error !== undefined) throw error;
  try {
    return mapSharedFile(`${path}/${calls.file}`, plan);
  } catch (failed) {
    calls.run([CLOSE_FILE]);
    throw failed;
  }
}

const CLOSE_FILE: RemoteCall = { name: 'close', args: ['file'] };

function memfdCreate(flags: number): RemoteCall {
  return { name: 'memfd_create', args: ['name', flags] };
}

const CREATE_FILE = [memfdCreate(MEMORY_FILE | MFD_NOEXEC_SEAL)];

function mmap({ address, size }: Region, protection: number, flags: number, file: CallArgument = -1): RemoteCall {
  return { name: 'mmap', args: [address, size, protection, flags, file, 0] };
}

function munmap({ address, size }: Region): RemoteCall {
  return { name: 'munmap', args: [address, size] };
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
