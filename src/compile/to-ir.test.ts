/** Compiling to IR: what programs become, and every refusal. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bareOptions } from '../../tests/support/compiling.ts';
import { struct } from '../bytes/struct.ts';
import type { Helper } from '../helpers/helper.ts';
import { HELPERS } from '../helpers/table.ts';
import { assemble } from '../insn/assemble.ts';
import { printFunction } from '../ir/print.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { Reference } from '../object/spec.ts';
import { bareProgram } from '../verifier/bare-program.ts';
import { checkStructure } from '../verifier/check-structure.ts';
import type { ContextModel } from './context-model.ts';
import { CompileError } from './errors.ts';
import type { CompileOptions } from './program.ts';
import { compileForSite } from './to-ir.ts';

const Context = struct('context', 24, { first: 'u64', second: 'u64', low: 'u32', high: 'u32' });

const MODEL: ContextModel = {
  struct: Context,
  fields: {
    first: { in: 'register', register: 7 },
    second: { in: 'stackPointer', offset: 8 },
    low: { in: 'constant', value: 5n },
    high: { in: 'register', register: 6 },
  },
  functionIp: { in: 'constant', value: 0x40_1000n },
};

const COUNTS: MapSpec = {
  name: 'counts',
  type: 2,
  keySize: 4,
  valueSize: 8,
  maxEntries: 4,
  flags: 0,
  keyTypeId: 0,
  valueTypeId: 0,
};

const SYSCALL: Helper = {
  id: 100,
  name: 'bpf_test_syscall',
  args: [],
  returns: 'scalar',
  requires: ['syscall'],
  run: () => 0n,
  emit: (b) => b.syscall(39, []),
};

const FILL: Helper = {
  id: 101,
  name: 'bpf_test_fill',
  args: ['memWrite', 'memSize'],
  returns: 'scalar',
  requires: [],
  run: () => 0n,
  emit: (b, [to]) => b.syscall(1, [to!]),
};

const OPTIONS: CompileOptions = {
  ...bareOptions(new Map([...HELPERS, [SYSCALL.id, SYSCALL], [FILL.id, FILL]])),
  maps: new Map([['counts', { spec: COUNTS, address: 0x7f00_0000_0000n }]]),
};

interface Source {
  readonly text: string;
  /** What the lddw at an index loads. */
  readonly references?: readonly (readonly [index: number, reference: Reference])[];
}

function compile({ text, references = [] }: Source, options: Partial<CompileOptions> = {}): string {
  const program = checkStructure(bareProgram('test', assemble(text), new Map(references)), {
    helpers: OPTIONS.helpers,
    arguments: 1,
  });
  const lines = printFunction(compileForSite(program, MODEL, { ...OPTIONS, ...options })).split('\n');
  return lines
    .slice(2, -1)
    .map((line) => line.trim())
    .join('; ');
}

describe('compiling', () => {
  const rows: readonly (readonly [what: string, source: Source, left: string])[] = [
    [
      'a load of a context field is the register that holds it',
      { text: 'ldxdw %r0, [%r1]\nexit' },
      'v0 = site register 7; return v0',
    ],
    [
      'half of a field is a shift away',
      { text: 'ldxw %r0, [%r1+4]\nexit' },
      'v0 = site register 7; v1 = shr v0, 32; return v1',
    ],
    ['a constant field is that number', { text: 'ldxw %r0, [%r1+16]\nexit' }, 'return 5'],
    [
      'the context may be moved and copied on the way',
      { text: 'mov %r6, %r1\nstxdw [%r10-8], %r6\nldxdw %r2, [%r10-8]\nadd %r2, 8\nldxdw %r0, [%r2]\nexit' },
      'v0 = site sp + 8; return v0',
    ],
    [
      'a function that gets the context reads the register too',
      { text: 'call local f\nexit\nf: ldxdw %r0, [%r1]\nexit' },
      'v0 = site register 7; return v0',
    ],
    [
      'a lookup with a known key is the address',
      {
        text: 'stw [%r10-4], 3\nmov %r2, %r10\nadd %r2, -4\nlddw %r1, 0\ncall 1\njeq %r0, 0, exit\nmov %r1, 1\nlock add [%r0], %r1\nmov %r0, 0\nexit',
        references: [[3, { kind: 'map', map: 'counts' }]],
      },
      'v0 = fetch-add8 [0x7f0000000018], 1; return 0',
    ],
    [
      'a lookup with an unknown key is one comparison',
      {
        text: `ldxdw %r1, [%r1]\nstxw [%r10-4], %r1\nmov %r2, %r10\nadd %r2, -4\nlddw %r1, 0\ncall 1
          jeq %r0, 0, exit\nldxdw %r1, [%r0]\nadd %r1, 1\nstxdw [%r0], %r1\nmov %r0, 0\nexit`,
        references: [[4, { kind: 'map', map: 'counts' }]],
      },
      'v0 = site register 7; v1 = zext32 v0; v2 = ult.32 v0, 4; branch v2 ? b2 : b1; ' +
        'b1: from b2, b0; return 0; ' +
        'b2: from b0; v3 = shl v1, 3; v4 = add v3, 0x7f0000000000; v5 = load8 [v4]; v6 = add v5, 1; store8 [v4], v6; jump b1',
    ],
    [
      'what a helper fills stays memory, what lies around it does not',
      {
        text: `stdw [%r10-8], 7\nstdw [%r10-16], 0\nmov %r1, %r10\nadd %r1, -16\nmov %r2, 8\ncall 101
          ldxdw %r0, [%r10-16]\nldxdw %r1, [%r10-8]\nadd %r0, %r1\nexit`,
      },
      'v0 = stack 8; store8 [v0], 0; v1 = syscall 1 v0; v2 = load8 [v0]; v3 = add v2, 7; return v3',
    ],
    [
      'a variable of a data section is its address',
      {
        text: 'lddw %r1, 0\nldxdw %r0, [%r1]\nexit',
        references: [[0, { kind: 'mapValue', map: 'counts', offset: 16 }]],
      },
      'v0 = load8 [0x7f0000000010]; return v0',
    ],
    ['callx with a number known now is a call', { text: 'mov %r0, 100\ncall %r0\nexit' }, 'v0 = syscall 39; return v0'],
    [
      'division by a number that is not zero needs no care',
      { text: 'ldxdw %r0, [%r1]\ndiv %r0, 10\nexit' },
      'v0 = site register 7; v1 = udiv v0, 10; return v1',
    ],
  ];
  for (const [what, source, left] of rows) it(what, () => assert.equal(compile(source), left));

  it('builds in memory what is read at a place only known later', () => {
    const text = 'mov %r2, %r1\nldxdw %r3, [%r1]\nand %r3, 8\nadd %r2, %r3\nldxdw %r0, [%r2]\nexit';
    assert.match(compile({ text }), /v0 = stack 24; v1 = site register 7; store8 \[v0\], v1; .*store4 \[v0 \+ 20\]/);
  });

  const refusals: readonly (readonly [
    what: string,
    source: Source,
    code: string,
    message: RegExp,
    options?: Partial<CompileOptions>,
  ])[] = [
    [
      'a write to the context',
      { text: 'mov %r0, 0\nstxdw [%r1+8], %r0\nexit' },
      'COMPILE_CONTEXT_WRITE',
      /cannot compile program test: insn 1: the context may only be read/,
    ],
    [
      'callx with a number only known later',
      { text: 'ldxdw %r2, [%r1]\ncall %r2\nexit' },
      'COMPILE_DYNAMIC_CALL',
      /insn 1: callx r2/,
    ],
    ['callx with no number of a helper', { text: 'mov %r2, 4000\ncall %r2\nexit' }, 'COMPILE_UNKNOWN_HELPER', /#4000/],
    [
      'a helper that needs what the target does not allow',
      { text: 'call 100\nexit' },
      'COMPILE_FORBIDDEN_HELPER',
      /bpf_test_syscall needs what the target does not allow/,
      { forbid: new Set(['syscall']) },
    ],
    [
      'a map that is a number',
      { text: 'mov %r2, %r10\nadd %r2, -8\nstdw [%r10-8], 0\nlddw %r1, 5\ncall 1\nexit' },
      'COMPILE_BAD_HELPER_CALL',
      /insn 5: bpf_map_lookup_elem: /,
    ],
    [
      'a map that was not laid out',
      { text: 'lddw %r0, 0\nexit', references: [[0, { kind: 'map', map: 'lost' }]] },
      'COMPILE_UNKNOWN_MAP',
      /map lost was not laid out/,
    ],
  ];
  for (const [what, source, code, message, options] of refusals) {
    it(`refuses ${what} with ${code}`, () => {
      assert.throws(
        () => compile(source, options),
        (error) => error instanceof CompileError && error.code === code && message.test(error.message),
      );
    });
  }
});
