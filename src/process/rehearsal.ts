/**
 * What is done to a target while its threads stand still is done to a process of our own first: whatever is run for the first time
 * takes many times as long, and a target is not to wait for that. The process is the watchdog, since it is there.
 */
import { BpfError } from '../errors.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import { PreparedCalls } from './prepared-calls.ts';
import { RemoteCalls } from './remote-calls.ts';
import { StoppedThreads } from './stopped-threads.ts';
import { watchdog } from './watchdog.ts';

/** The first time calls are bound, the second time code is where it is looked for. */
const TIMES = 2;

let isDone = false;

/** Does nothing but the first time. Where it cannot be done the first target waits a little longer. */
export function rehearse(): void {
  if (isDone) return;
  isDone = true;
  const { pid, place } = watchdog();
  try {
    using memory = new ProcessMemory(pid);
    for (let time = 0; time < TIMES; time++) {
      using held = StoppedThreads.all(pid, () => true);
      using calls = new RemoteCalls(held.threads[0]!, memory, new PreparedCalls(place));
      calls.run([{ name: 'gettid', args: [] }]);
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
  }
}
