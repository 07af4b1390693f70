/** The text form of IR. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Builder } from './builder.ts';
import { printFunction } from './print.ts';

it('prints a function as people read it: constants in place, numbers from zero', () => {
  const callee = Builder.function('helper', 1, (b, [x]) => b.return(x!));
  const fn = Builder.function('sample', 2, (b, [x, y]) => {
    b.store(4, x!, 8, b.load(2, y!));
    b.atomic('add', 8, x!, -16, 1);
    b.increment(x!, 0);
    const sum = b.binary('add', b.loadSigned(1, x!), 0x1_0000_0000n, 32);
    const found = b.choose(
      b.compare('ult', sum, y!),
      () => b.call(callee, [sum]),
      () => -1,
      'cold',
    );
    b.syscall(39, []);
    b.return(b.select(found, b.site({ in: 'register', register: 7 }), b.threadLoad(4, -40)));
  });
  assert.equal(
    printFunction(fn),
    `function sample(2)
b0:
  v0 = param 0
  v1 = param 1
  v2 = load2 [v1]
  store4 [v0 + 8], v2
  v3 = fetch-add8 [v0 - 16], 1
  increment [v0]
  v4 = load1s [v0]
  v5 = add.32 v4, 0x100000000
  v6 = ult v5, v1
  branch v6 ? b1 : b2
b1: cold from b0
  v7 = call helper v5
  jump b3
b2: from b0
  jump b3
b3: from b1, b2
  v8 = phi v7, -1
  v9 = syscall 39
  v10 = site register 7
  v11 = threadLoad4 [fs - 40]
  v12 = select v8, v10, v11
  return v12
`,
  );
});
