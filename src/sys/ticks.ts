/**
 * Ticks that interrupt blocking calls of this thread, so that waiting for a traced thread can have an end: waitpid(2) knows
 * no timeout, and looking again and again keeps the processor from the thread that is waited for.
 * A timer sends this thread a real-time signal whose handler is the C library's abs(3): harmless, and without SA_RESTART.
 * Source: timer_create(2), sigaction(2); struct sigevent in asm-generic/siginfo.h, struct sigaction in glibc's bits/sigaction.h.
 */
import { struct } from '../bytes/struct.ts';
import { libc, tryLibc } from './libc.ts';

/** The last real-time signal: nothing in Node can be made to listen to it. */
const SIGNAL = 64;
const SIG_DFL = 0n;
const CLOCK_MONOTONIC = 1;
const SIGEV_THREAD_ID = 4;
const SYS_GETTID = 186;

/** How often, in nanoseconds. */
const INTERVAL_NS = 10_000_000n;

const SigAction = struct('sigaction', 24, { handler: 'u64', mask: 'u64', maskRest: 'u64' });
/** The mask has 1024 bits; flags and restorer follow it. */
const SIGACTION_SIZE = 152;
const SigEvent = struct('sigevent', 24, { value: 'u64', signal: 'i32', notify: 'i32', thread: 'i32', pad: 'i32' });
const SIGEVENT_SIZE = 64;
const TimerSpec = struct('itimerspec', 32, {
  intervalSeconds: 'u64',
  intervalNs: 'u64',
  firstSeconds: 'u64',
  firstNs: 'u64',
});

/** The timer of this thread; undefined where there can be none, and before it is asked for. */
let timer: bigint | undefined;
let isTried = false;

/** Begins to tick, until disposed of; undefined where that cannot be. */
export function startTicks(): Disposable | undefined {
  if (!isTried) timer = makeTimer();
  isTried = true;
  const made = timer;
  if (made === undefined) return undefined;
  setInterval(made, INTERVAL_NS);
  return { [Symbol.dispose]: () => setInterval(made, 0n) };
}

function setInterval(id: bigint, nanoseconds: bigint): void {
  const spec = new Uint8Array(TimerSpec.size);
  TimerSpec.write(spec, 0, {
    intervalSeconds: 0n,
    intervalNs: nanoseconds,
    firstSeconds: 0n,
    firstNs: nanoseconds,
  });
  libc('timer_settime', 'timer_settime', id, 0, spec, null);
}

function makeTimer(): bigint | undefined {
  if (!setHandler()) return undefined;
  const event = new Uint8Array(SIGEVENT_SIZE);
  const thread = tryLibc('syscall', SYS_GETTID, 0, 0, 0, 0);
  SigEvent.write(event, 0, { value: 0n, signal: SIGNAL, notify: SIGEV_THREAD_ID, thread, pad: 0 });
  const id = new BigUint64Array(1);
  return tryLibc('timer_create', CLOCK_MONOTONIC, event, id) === 0 ? id[0] : undefined;
}

/** False if somebody else uses the signal. */
function setHandler(): boolean {
  const handler = BigInt(tryLibc('dlsym', null, 'abs'));
  if (handler <= 0n) return false;
  const former = new Uint8Array(SIGACTION_SIZE);
  if (tryLibc('sigaction', SIGNAL, null, former) !== 0) return false;
  const { handler: known } = SigAction.read(former);
  if (known === handler) return true;
  if (known !== SIG_DFL) return false;
  const action = new Uint8Array(SIGACTION_SIZE);
  SigAction.write(action, 0, { handler, mask: 0n, maskRest: 0n });
  return tryLibc('sigaction', SIGNAL, action, null) === 0;
}
