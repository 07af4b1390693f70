/** Holes that verifiers had and that became known: programs of their shape, each refused; by the kernel too, where it is asked. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { KernelOracle, whyNoOracle } from '../support/kernel-oracle.ts';
import { parseCases } from '../support/verifier-cases.ts';
import { ourVerdict } from '../support/verifier-subject.ts';

/** Name, and the program in the form of the case files. */
const HOLES: readonly (readonly [name: string, text: string])[] = [
  [
    'CVE-2020-8835: a 32-bit comparison says nothing of the high half',
    `pre: r6 = value array, r7 = any
    lddw r8, 0x600000002
    jge r7, r8, out
    jle r7, 0x1, out
    jne32 r7, 5, out
    rsh r7, 32
    mul r7, 48
    add r6, r7
    ldxb r0, [r6+0]
    exit
    out: mov r0, 0
    exit
message: invalid access to map value`,
  ],
  [
    'CVE-2020-27194: or of bounds of 64 bits is no bound of the low half',
    `pre: r6 = value array, r7 = any
    lddw r8, 0x600000001
    jgt r7, r8, out
    jlt r7, 1, out
    or r7, 0
    mov32 r8, r7
    add r6, r8
    ldxb r0, [r6+0]
    exit
    out: mov r0, 0
    exit
message: R6 unbounded memory access`,
  ],
  [
    'CVE-2021-3490: and, or and xor of half-known numbers keep the bounds of the low half',
    `pre: r6 = value array, r7 = any
    lddw r8, 0xffffffff00000000
    and r7, r8
    add r7, 1
    mov r8, 1
    lsh r8, 32
    add r8, 2
    and r7, r8
    mov32 r7, r7
    sub r7, 1
    add r6, r7
    stb [r6+0], 1
    mov r0, 0
    exit
message: R6`,
  ],
  [
    'CVE-2021-31440: bounds of 64 bits that do not fit 32 are none of the low half',
    `pre: r6 = value array, r7 = any
    lddw r8, 0x100000000
    jslt r7, 0, out
    jsgt r7, r8, out
    mov32 r7, r7
    add r6, r7
    ldxb r0, [r6+0]
    exit
    out: mov r0, 0
    exit
message: R6 unbounded memory access`,
  ],
  [
    'CVE-2022-23222: what may be null is not added to',
    `    stdw [r10-8], 0
    map r1, ring
    mov r2, 8
    mov r3, 0
    call 131
    mov r6, r0
    add r6, 1
    jeq r0, 0, null
    mov r1, r0
    mov r2, 0
    call 132
    mov r0, 0
    exit
    null: ldxb r0, [r6+0]
    exit
message: R6 pointer arithmetic on ringbuf_mem_or_null prohibited, null-check it first`,
  ],
  [
    'CVE-2023-2163: a branch that a number of later use decides is looked at both ways',
    `pre: r6 = value array, r7 = any, r8 = any
    mov r4, 0
    mov r5, 0
    jle r7, 0, one
    mov r4, 1000
    one: jle r8, 0, two
    mov r5, 0
    two: jle r8, 1, three
    mov r4, 0
    three: add r4, r5
    add r6, r4
    ldxb r0, [r6+0]
    exit
message: invalid access to map value`,
  ],
  [
    'CVE-2023-2163: what a copy was compared with rests on the number too',
    `pre: r6 = value array, r7 = any
    and r7, 1
    mov r8, 0
    jeq r7, 0, meet
    mov r8, 48
    meet: mov r5, r8
    mov r4, r5
    jgt r4, 100, out
    add r6, r4
    ldxb r0, [r6+0]
    exit
    out: mov r0, 0
    exit
message: invalid access to map value`,
  ],
  [
    'CVE-2024-41003: a sum off by a constant in the low half is no copy',
    `pre: r6 = value array, r7 = any
    mov32 r8, r7
    mov r5, r8
    add32 r5, 1
    mov r4, r5
    jgt r4, 8, out
    add r6, r8
    ldxb r0, [r6+0]
    exit
    out: mov r0, 0
    exit
message: R6 unbounded memory access`,
  ],
  [
    'CVE-2017-16995: a 32-bit move of a negative number is no sign extension',
    `pre: r6 = value array
    mov32 r7, -1
    jne r7, -1, other
    mov r0, 0
    exit
    other: add r6, r7
    ldxb r0, [r6+0]
    exit
message: 4294967295`,
  ],
  [
    'CVE-2018-18445: a 32-bit shift to the right drops the high half first',
    `pre: r6 = value array
    mov r7, 2
    lsh r7, 31
    rsh32 r7, 31
    sub r7, 2
    add r6, r7
    ldxb r0, [r6+0]
    exit
message: R6 min value is`,
  ],
  [
    'CVE-2021-3444: a 32-bit remainder by zero leaves the low half',
    `pre: r6 = value array, r7 = any
    mov r8, 0
    mod32 r7, r8
    add r6, r7
    ldxb r0, [r6+0]
    exit
message: unbounded`,
  ],
  [
    'CVE-2021-4204: how much of a reservation a helper reads is checked',
    `pre: r6 = reserved 16
    map r1, ring
    mov r2, r6
    mov r3, 4096
    mov r4, 0
    call 130
    mov r1, r6
    mov r2, 0
    call 132
    mov r0, 0
    exit
message: invalid access to memory, mem_size=16 off=0 size=4096`,
  ],
];

const oracle = whyNoOracle() === undefined ? new KernelOracle() : undefined;
after(() => oracle?.[Symbol.dispose]());

describe('known holes', () => {
  for (const [name, text] of HOLES) {
    it(name, () => {
      const [hole] = parseCases(`== ${name}\n${text}\n`);
      const { accepted, message } = ourVerdict(hole!.subject);
      assert.ok(!accepted, 'it is refused');
      assert.ok(oracle?.verdict(hole!.subject).accepted !== true, 'the kernel refuses it');
      assert.ok(message.includes(hole!.message!), `'${message}' says '${hole!.message}'`);
    });
  }
});
