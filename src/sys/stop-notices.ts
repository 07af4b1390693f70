/**
 * Whether the kernel tells this process by SIGCHLD of each thread that it has stopped. Node handles that signal once it has started
 * a process; with hundreds of threads to stop its handler would run hundreds of times while they stand still. Who waits for them
 * is told anyway. Source: sigaction(2), SA_NOCLDSTOP; struct sigaction in glibc's bits/sigaction.h.
 */
import { constants } from 'node:os';
import { viewOf } from '../bytes/struct.ts';
import { tryLibc } from './libc.ts';

const { SIGCHLD } = constants.signals;
/** SIG_DFL and SIG_IGN: nothing runs. */
const NO_HANDLER = 1n;
const SA_NOCLDSTOP = 1;
const ACTION_SIZE = 152;
const FLAGS_AT = 136;

/** Only of children that end is this process told until the result is disposed of. */
export function withoutStopNotices(): Disposable {
  const found = new Uint8Array(ACTION_SIZE);
  const view = viewOf(found);
  const isHandled = tryLibc('sigaction', SIGCHLD, null, found) === 0 && view.getBigUint64(0, true) > NO_HANDLER;
  const flags = view.getUint32(FLAGS_AT, true);
  if (!isHandled || (flags & SA_NOCLDSTOP) !== 0) return { [Symbol.dispose]() {} };
  const set = (wanted: number) => {
    view.setUint32(FLAGS_AT, wanted, true);
    tryLibc('sigaction', SIGCHLD, found, null);
  };
  set(flags | SA_NOCLDSTOP);
  return { [Symbol.dispose]: () => set(flags) };
}
