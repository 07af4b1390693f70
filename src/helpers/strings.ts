/** Strings of the program's own. Source: Linux kernel/bpf/helpers.c, lib/string.c. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

/** long bpf_strncmp(const char *a, u32 size, const char *b): -1, 0 or 1 by the first byte that differs, up to a NUL or `size` */
export const strncmp: Helper = {
  id: 182,
  name: 'bpf_strncmp',
  args: ['memRead', 'memSize', 'constantString'],
  returns: 'scalar',
  requires: [],
  run({ memory }, [a, size, b]) {
    for (let at = 0n; at < BigInt.asUintN(32, size!); at++) {
      const [x, y] = [memory.view(a! + at, 1)[0]!, memory.view(b! + at, 1)[0]!];
      if (x !== y) return result(x < y ? -1 : 1);
      if (x === 0) break;
    }
    return 0n;
  },
  emit: (b, [first, size, second], context) =>
    b.call(context.shared('strncmp', 3, emitCompare), [first!, b.unary('zext32', size!), second!]),
};

function emitCompare(b: Builder, [first, size, second]: Value[]): void {
  b.loop([b.const(0)], 0, (loop, [at]) => {
    b.when(b.compare('eq', at!, size!), () => loop.leave());
    const x = b.load(1, b.add(first!, at!));
    const y = b.load(1, b.add(second!, at!));
    b.when(b.compare('ne', x, y), () => b.return(b.select(b.compare('ult', x, y), -1, 1)));
    b.when(b.compare('eq', x, 0), () => loop.leave());
    loop.next(b.add(at!, 1));
  });
  b.return(0);
}
