/** The trampoline of a return probe, every instruction of it. `npm run bless` writes the file anew; look at what changed. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { disassemble } from '../../src/arch/x64/disassemble.ts';
import { lower } from '../../src/arch/x64/lower.ts';
import { Reg } from '../../src/arch/x64/registers.ts';
import { emitTrampoline } from '../../src/arch/x64/trampoline.ts';
import { popCode, pushCode } from '../../src/attach/uprobe/return-code.ts';
import { ROOT } from '../support/root.ts';

const GOLDEN = join(ROOT, 'tests/golden/return-trampoline.txt');
const SITE = 0x5555_0000_0000n;
const CODE = 0x5555_1000_0000n;
const PLACE = {
  index: 0x5555_2000_0000n,
  rows: 0x5555_2020_0000n,
  slowPush: CODE - 0x1000n,
  slowPop: CODE - 0x800n,
};
/** push rbp; mov rbp, rsp; push rbx */
const WINDOW = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, 0x53);

it('the trampoline of a return probe is as it was', () => {
  const returns = {
    push: lower(pushCode(PLACE, PLACE.index + 0x2010n), { nearAddress: CODE, result: Reg.RAX }),
    pop: lower(popCode(PLACE), { nearAddress: CODE }),
    programs: [],
  };
  const { bytes, back } = emitTrampoline([], { origin: CODE, window: WINDOW, site: SITE }, returns);
  const lines = disassemble(bytes, CODE).map(({ address, text }) =>
    [address === back ? 'back:' : '', address.toString(16), text].join('\t').trim(),
  );
  const actual = `${lines.join('\n')}\n`;
  if (process.env.BLESS === '1') writeFileSync(GOLDEN, actual);
  assert.equal(actual, readFileSync(GOLDEN, 'utf8'));
});
