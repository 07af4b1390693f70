/** What programs write into the memory of the process. */
import { BpfError } from '../errors.ts';
import { Errno } from '../maps/map-type.ts';
import type { Helper } from './helper.ts';
import { safeWrite } from './own-memory.ts';
import { result } from './result.ts';

/** long bpf_probe_write_user(void *to, const void *from, u32 size): 0, or -EFAULT if it cannot all be written */
export const probeWriteUser: Helper = {
  id: 36,
  name: 'bpf_probe_write_user',
  args: ['any', 'memRead', 'memSize'],
  returns: 'scalar',
  requires: ['syscall', 'write-user'],
  run({ memory }, [to, from, size]) {
    const count = Number(BigInt.asUintN(32, size!));
    try {
      memory.view(to!, count).set(memory.view(from!, count));
      return 0n;
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      return result(-Errno.EFAULT);
    }
  },
  emit: (b, [to, from, size], context) => b.call(safeWrite(context), [to!, from!, b.unary('zext32', size!)]),
};
