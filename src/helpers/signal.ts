/** Signals that programs send to the process or thread they run in. */
import { Errno } from '../maps/map-type.ts';
import type { Helper } from './helper.ts';
import { Syscall } from './linux.ts';
import { result } from './result.ts';
import { emitProcessId, emitThreadId } from './task.ts';

/** The interpreter has no process. */
const notSupported = (): bigint => result(-Errno.EOPNOTSUPP);

/** long bpf_send_signal(u32 sig): to the process; any of its threads may get it */
export const sendSignal: Helper = {
  id: 109,
  name: 'bpf_send_signal',
  args: ['scalar'],
  returns: 'scalar',
  requires: ['syscall', 'signal'],
  run: notSupported,
  emit: (b, [signal], context) => b.syscall(Syscall.kill, [emitProcessId(b, context), b.unary('zext32', signal!)]),
};

/** long bpf_send_signal_thread(u32 sig): to this thread */
export const sendSignalThread: Helper = {
  id: 117,
  name: 'bpf_send_signal_thread',
  args: ['scalar'],
  returns: 'scalar',
  requires: ['syscall', 'signal'],
  run: notSupported,
  emit(b, [signal], context) {
    const thread = emitThreadId(b, context);
    return b.syscall(Syscall.tgkill, [emitProcessId(b, context), thread, b.unary('zext32', signal!)]);
  },
};
