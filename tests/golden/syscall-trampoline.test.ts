/** The trampolines of system calls, every instruction of them. `npm run bless` writes the file anew; look at what changed. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { disassemble } from '../../src/arch/x64/disassemble.ts';
import { lower } from '../../src/arch/x64/lower.ts';
import { Reg } from '../../src/arch/x64/registers.ts';
import {
  emitAround,
  emitBefore,
  emitBehind,
  SYSCALL_FREE,
  type SyscallProgram,
} from '../../src/arch/x64/syscall-trampoline.ts';
import { fromHex } from '../../src/bytes/hex.ts';
import { Builder } from '../../src/ir/builder.ts';
import { ROOT } from '../support/root.ts';

const GOLDEN = join(ROOT, 'tests/golden/syscall-trampoline.txt');
const SITE = 0x5555_0000_0005n;
const CODE = 0x5555_1000_0000n;
const CELL = 0x5555_2000_0000n;

/** Counts in a cell. */
function counting(number: number | undefined): SyscallProgram {
  const count = Builder.function('count', 0, (b) => {
    b.increment(b.const(CELL), 0);
    b.return(0);
  });
  const program = lower(count, { nearAddress: CODE, preferred: SYSCALL_FREE });
  return { program, number };
}

/** Has the call made with another third argument. */
function shortening(number: number | undefined): SyscallProgram {
  const change = Builder.function('change', 0, (b) => {
    b.siteStore(Reg.RDX, b.const(5));
    b.return(0);
  });
  return { program: lower(change, { nearAddress: CODE, preferred: SYSCALL_FREE }), number };
}

/** mov eax, 39; syscall; cmp rax, -4096 */
const GETPID = {
  at: SITE,
  number: 39,
  keepsFlags: false,
  lead: fromHex('b827000000')!,
  trail: fromHex('483d00f0ffff')!,
};
/** mov rax, rdi; mov rdi, rsi; syscall */
const ANY = { ...GETPID, number: undefined, lead: fromHex('4889f84889f7')!, trail: new Uint8Array(0) };

it('the trampolines of system calls are as they were', () => {
  const listings = {
    'in front of getpid': emitBefore([counting(39)], GETPID, CODE),
    'in front of getpid, with flags': emitBefore([counting(39)], { ...GETPID, keepsFlags: true }, CODE),
    'behind getpid': emitBehind([counting(39)], GETPID, CODE),
    'behind fork': emitBehind([counting(57)], { ...GETPID, number: 57 }, CODE),
    'in front of any call': emitBefore([counting(39), counting(undefined)], ANY, CODE),
    'around any call, for two of them': emitAround([], [counting(39), counting(57)], ANY, CODE),
    'in front of getpid, with another argument': emitBefore([shortening(39)], GETPID, CODE),
    'around any call, with another argument of some': emitAround([shortening(1)], [counting(1)], ANY, CODE),
    'around getpid, which is displaced': emitAround([counting(39)], [counting(39)], GETPID, CODE),
  };
  const actual = Object.entries(listings)
    .map(([title, { bytes }]) => {
      const lines = disassemble(bytes, CODE).map(({ address, text }) => `${address.toString(16)}\t${text}`);
      return `${title}:\n${lines.join('\n')}\n`;
    })
    .join('\n');
  if (process.env.BLESS === '1') writeFileSync(GOLDEN, actual);
  assert.equal(actual, readFileSync(GOLDEN, 'utf8'));
});
