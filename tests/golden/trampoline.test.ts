/** Trampolines of return probes, every instruction of them. `npm run bless` writes the file anew; look at what changed. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { disassemble } from '../../src/arch/x64/disassemble.ts';
import { copyFor, type LoweredProgram, lower } from '../../src/arch/x64/lower.ts';
import { Reg } from '../../src/arch/x64/registers.ts';
import { savedAnyway } from '../../src/arch/x64/shared-saves.ts';
import { emitTrampoline } from '../../src/arch/x64/trampoline.ts';
import { popCode, pushCode } from '../../src/attach/uprobe/return-code.ts';
import { Builder } from '../../src/ir/builder.ts';
import { optimize } from '../../src/ir/passes/optimize.ts';
import { emitHit } from '../../src/runtime/hit-counters.ts';
import { ROOT } from '../support/root.ts';

const SITE = 0x5555_0000_0000n;
const CODE = 0x5555_1000_0000n;
const HITS = 0x5555_3000_0000n;
const PLACE = {
  index: 0x5555_2000_0000n,
  rows: 0x5555_2020_0000n,
  slowPush: CODE - 0x1000n,
  slowPop: CODE - 0x800n,
};
/** push rbp; mov rbp, rsp; push rbx */
const WINDOW = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, 0x53);

it('the trampoline of a return probe is as it was', () => {
  compare('return-trampoline', [], []);
});

/** What an empty program is: its hit counter. */
function empty(link: number): LoweredProgram {
  const fn = Builder.function('empty', 0, (b) => {
    emitHit(
      b,
      { address: HITS, processCounter: HITS - 0x2000n, processCell: HITS - 0x1000n, threadPointers: true },
      link,
    );
    b.return(0);
  });
  optimize(fn);
  return lower(fn, { nearAddress: CODE });
}

it('the trampoline of an empty program at both ends of a function is as it was', () => {
  compare('pair-trampoline', [empty(0)], [empty(1)]);
});

function compare(name: string, entry: readonly LoweredProgram[], ends: readonly LoweredProgram[]): void {
  const golden = join(ROOT, `tests/golden/${name}.txt`);
  const push = lower(pushCode(PLACE), { nearAddress: CODE, result: Reg.RAX, preferred: savedAnyway(entry) });
  const returns = {
    push: copyFor(push, PLACE.index + 0x2010n),
    pop: lower(popCode(PLACE), { nearAddress: CODE, preferred: savedAnyway(ends) }),
    programs: ends,
  };
  const { bytes, back } = emitTrampoline(entry, { origin: CODE, window: WINDOW, site: SITE }, returns);
  const lines = disassemble(bytes, CODE).map(({ address, text }) =>
    [address === back ? 'back:' : '', address.toString(16), text].join('\t').trim(),
  );
  const actual = `${lines.join('\n')}\n`;
  if (process.env.BLESS === '1') writeFileSync(golden, actual);
  assert.equal(actual, readFileSync(golden, 'utf8'));
}
