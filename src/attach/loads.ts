/** How libraries that come and go are met: threads that have loaded one wait until their controller has seen it. */

/** The place where they wait. */
export interface LoadGate {
  /** From now on they wait, as long as this process lives and answers. */
  open(): void;
  /** Lets all go that wait, and has none wait any more. */
  close(): void;
  /** Whether threads do wait there: without that, what was loaded is found by looking. */
  readonly isInPlace: boolean;
  /** How many have come so far. */
  readonly requests: number;
  /** Lets those go that had come when there were `requests` of them. */
  answer(requests: number): void;
  /** Resolves once there are more than `requests`, or after a while. */
  next(requests: number, milliseconds: number): Promise<void>;
}

/** Whose attachments follow what is mapped. */
export interface LoadFollower {
  /** Looks what was mapped and unmapped since. @throws {ProcessError} if the process has ended */
  update(): void;
}
