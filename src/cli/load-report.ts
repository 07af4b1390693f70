/** What `load` tells, in two languages: JSON lines for programs, text for people. */
import type { BpfLink, BpfMap, JsonValue } from '../index.ts';

/** What became of the target's code at the end. */
export interface Detached {
  readonly pid: number;
  readonly links: number;
  readonly outcome: Outcome;
}

/** 'restored': the code was read back and is what it was before. 'replaced': with its program all of ours has gone. */
export type Outcome = 'restored' | 'ended' | 'replaced' | 'changed by others';

/** What is told of a link at the end. */
export type LinkCounts = Pick<BpfLink, 'id' | 'program' | 'target' | 'hits' | 'missed' | 'codeWithoutFile'>;

/**
 * Gets told, in this order: attached, followed, printk and events any number of times, each map, stats, detached. Of children
 * that are followed attached comes when they do, and detached when they end.
 */
export interface LoadReport {
  attached(pid: number, links: readonly BpfLink[], pauseUs: number, whose?: 'target' | 'child'): void;
  /** A link that was pending is attached, or says why it cannot be though its library is there. */
  followed(link: BpfLink): void;
  printk(text: string): void;
  /** What a program sent through the map of that name. */
  event(map: string, event: JsonValue): void;
  map(map: BpfMap): void;
  stats(links: readonly LinkCounts[], lostEvents: bigint): void;
  detached(detached: Detached): void;
  /** Something that need not be an error. */
  note(text: string): void;
}
