import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Builder } from '../../ir/builder.ts';
import { Assembler } from './assembler.ts';
import { disassemble } from './disassemble.ts';
import { type LoweredProgram, lower } from './lower.ts';
import { Reg } from './registers.ts';
import { emitPrograms, savedAnyway } from './shared-saves.ts';

const ORIGIN = 0x5555_0000_0000n;

/** What a program reads and changes -> a program whose body shows where it believes the site's stack pointer to be. */
function program(reads: readonly Reg[], clobbered: readonly Reg[], result?: Reg): LoweredProgram {
  return {
    reads: new Set(reads),
    clobbered: new Set(clobbered),
    changes: new Set(),
    stackBytes: 0,
    result,
    emitBody: (a, { siteStack }) => a.aluImm('cmp', Reg.RBP, siteStack),
    emitFunctions() {},
  };
}

function listing(programs: readonly LoweredProgram[]): string[] {
  const a = new Assembler(ORIGIN);
  emitPrograms(
    a,
    programs.map((one) => ({ program: one, above: 0 })),
    () => a.ret(),
  );
  return disassemble(a.finish(), ORIGIN).map(({ text }) => text);
}

const { RAX, RCX, RDX, RDI } = Reg;
const CASES: readonly (readonly [what: string, programs: readonly LoweredProgram[], text: string])[] = [
  [
    'two that read nothing save once',
    [program([], [RAX]), program([], [RAX])],
    'push rax|cmp rbp, 8|cmp rbp, 8|pop rax',
  ],
  [
    'what any of them changes is saved once',
    [program([], [RAX, RCX]), program([], [RCX, RDX])],
    'push rax|push rcx|push rdx|cmp rbp, 0x18|cmp rbp, 0x18|pop rdx|pop rcx|pop rax',
  ],
  [
    'one that reads what another in front of it has changed finds it put back',
    [program([], [RAX]), program([RAX], [RCX])],
    'push rax|cmp rbp, 8|pop rax|push rcx|cmp rbp, 8|pop rcx',
  ],
  [
    'one that reads what only it, or one behind it, changes shares saves',
    [program([RDI], [RAX]), program([RCX], [RDI, RCX])],
    'push rax|push rdi|push rcx|cmp rbp, 0x18|cmp rbp, 0x18|pop rcx|pop rdi|pop rax',
  ],
  [
    'the third is looked at, too',
    [program([], [RAX]), program([], [RCX]), program([RAX], [RCX])],
    'push rax|push rcx|cmp rbp, 0x10|cmp rbp, 0x10|pop rcx|pop rax|push rcx|cmp rbp, 8|pop rcx',
  ],
  [
    'one that changes nothing finds the stack pointer as the site has it',
    [program([], [RAX]), program([], []), program([], [RAX])],
    'push rax|cmp rbp, 8|pop rax|cmp rbp, 0|push rax|cmp rbp, 8|pop rax',
  ],
  [
    'behind one that decides, all is put back and the result is in the flags',
    [program([], [RCX]), program([], [RAX], RAX), program([], [RAX])],
    'push rcx|push rax|cmp rbp, 0x10|cmp rbp, 0x10|test eax, eax|pop rax|pop rcx|ret|push rax|cmp rbp, 8|pop rax',
  ],
];

describe('saves shared by programs', () => {
  for (const [what, programs, text] of CASES) {
    it(what, () => assert.deepEqual(listing(programs), text.split('|')));
  }

  it('may cost nothing more where programs beside save registers that none of them reads', () => {
    assert.deepEqual(savedAnyway([program([RDI], [RAX, RDI]), program([RCX], [RCX, RDX])]), [RAX, RDX]);
  });

  it('go by the registers of the site that a program needs', () => {
    const fn = Builder.function('reads', 0, (b) => {
      const di = b.site({ in: 'register', register: RDI });
      b.store(8, b.const(0x5555_1000_0000n), 0, b.add(di, b.load(8, b.site({ in: 'stackPointer', offset: 8 }))));
      b.return(0);
    });
    const { reads, clobbered } = lower(fn, { nearAddress: ORIGIN });
    assert.deepEqual([...reads], [RDI]);
    assert.equal(clobbered.has(Reg.RSP), false);
  });
});
