/** The sessions in processes of this machine, whoever began them: found, looked at, and taken off. */
import { readdirSync } from 'node:fs';
import { BpfError } from '../errors.ts';
import { FoundJournal, findJournals } from '../inject/found-journal.ts';
import { type ReleaseReturns, type TakenOff, takeOff } from '../inject/take-off.ts';
import { readAttachFacts } from '../process/attach-facts.ts';
import { permissionError } from '../process/refusal.ts';
import { openProcess } from '../process/target-process.ts';
import { isSysError, SysError } from '../sys/errors.ts';
import { livingThread, readStatus } from '../sys/proc.ts';
import { type Mapping, readMaps } from '../sys/proc-maps.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import { RuntimeError } from './errors.ts';
import { FoundSession } from './found-session.ts';

/** 'live': its controller is there; 'quiet': it died; 'pinned': programs run without it; 'closed': only memory is left. */
export type SessionState = 'live' | 'quiet' | 'pinned' | 'closed';

/** One session of a process. */
export interface ListedSession {
  readonly pid: number;
  /** The name of the process's program; hostile text. */
  readonly command: string;
  readonly id: string;
  readonly state: SessionState;
  readonly controllerPid: number;
  readonly began: Date;
  /** Bytes of memory that it takes there. */
  readonly mappedBytes: number;
  /** What it has attached; undefined if its controller died before it came so far, or somebody wrote over it. */
  readonly session: FoundSession | undefined;
}

/** Sessions of one process, readable until this is disposed of. */
export class ProcessSessions implements Disposable {
  readonly sessions: readonly ListedSession[];
  /** Why others there cannot be understood. */
  readonly problems: readonly BpfError[];
  readonly #memory: ProcessMemory;

  /** @throws {ProcessError} PROCESS_NOT_FOUND, PROCESS_PERMISSION @throws {SysError} */
  constructor(pid: number) {
    const { command, mappings, memory } = look(pid);
    this.#memory = memory;
    try {
      const found = findJournals(mappings, this.#memory);
      this.problems = found.filter((finding) => finding instanceof BpfError);
      this.sessions = found
        .filter((finding) => finding instanceof FoundJournal)
        .map((journal) => {
          const { id, controllerPid, time: began } = journal;
          const mappedBytes = journal.mappedBytes(mappings);
          const session = sessionOf(journal);
          return { pid, command, id, state: stateOf(journal), controllerPid, began, mappedBytes, session };
        });
    } catch (error) {
      this.#memory[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

/** What all is read from. */
function look(pid: number): {
  readonly command: string;
  readonly mappings: readonly Mapping[];
  readonly memory: ProcessMemory;
} {
  try {
    const shown = livingThread(pid);
    const mappings = readMaps(shown);
    return { command: readStatus(pid).name, mappings, memory: new ProcessMemory(shown) };
  } catch (error) {
    // These tell it better, and know no others.
    if (isSysError(error, 'SYS_ENOENT', 'SYS_ESRCH')) readAttachFacts(pid);
    if (isSysError(error, 'SYS_EACCES', 'SYS_EPERM')) throw permissionError(readAttachFacts(pid), error);
    throw error;
  }
}

/** Every process that has a session, of those that may be looked at. */
export function processesWithSessions(): readonly number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return readMaps(livingThread(pid)).some(({ path }) => path === '/memfd:remora');
    } catch (error) {
      if (error instanceof SysError) return false;
      throw error;
    }
  });
}

/**
 * Takes sessions of a process off: the bytes of its code are put back, and memory that nobody needs any more is unmapped.
 *
 * @param isMeant says of each session whether it is to go
 * @returns what became of each, by id
 * @throws {ProcessError | InjectError} if the process cannot be entered
 */
export function takeOffSessions(
  pid: number,
  isMeant: (session: { readonly id: string; readonly state: SessionState }) => boolean,
  releaseReturns: ReleaseReturns,
): ReadonlyMap<string, TakenOff> {
  using target = openProcess(pid);
  target.removeStaleStubs();
  const done = new Map<string, TakenOff>();
  // One may lie over another: what could not be put back is tried again once others are gone.
  for (let again = true; again; ) {
    again = false;
    for (const journal of findJournals(target.mappings(), target.memory)) {
      if (!(journal instanceof FoundJournal)) continue;
      const { id } = journal;
      const before = done.get(id);
      const isKnown = before !== undefined && (before.foreign.length === 0 || before.memory !== 'in use');
      if (isKnown || (before === undefined && !isMeant({ id, state: stateOf(journal) }))) continue;
      const result = takeOff(target, journal, releaseReturns);
      if (before === undefined || result.restored > 0) again = true;
      done.set(id, { ...result, restored: result.restored + (before?.restored ?? 0) });
    }
  }
  return done;
}

/**
 * Takes sessions off that processes have from another, since they were forked from it.
 *
 * @param ids of the sessions
 * @returns what became of them, by process and id; processes that end meanwhile are passed over
 */
export function takeOffCopies(
  ids: ReadonlySet<string>,
  releaseReturns: ReleaseReturns,
): ReadonlyMap<number, readonly TakenOff[]> {
  const done = new Map<number, readonly TakenOff[]>();
  for (const pid of processesWithSessions()) {
    try {
      using found = new ProcessSessions(pid);
      if (!found.sessions.some(({ id }) => ids.has(id))) continue;
      done.set(pid, [...takeOffSessions(pid, ({ id }) => ids.has(id), releaseReturns).values()]);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
    }
  }
  return done;
}

function stateOf(journal: FoundJournal): SessionState {
  if (journal.isClosed) return 'closed';
  if (journal.isPinned) return 'pinned';
  return journal.hasController === false ? 'quiet' : 'live';
}

function sessionOf(journal: FoundJournal): FoundSession | undefined {
  try {
    return new FoundSession(journal);
  } catch (error) {
    if (error instanceof RuntimeError) return undefined;
    throw error;
  }
}
