import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from '../bytes/hex.ts';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import { InsnError } from './errors.ts';
import { FORMS } from './form.ts';
import type { Insn } from './insn.ts';
import { layOut } from './layout.ts';

const bytesOf = (hex: string): Uint8Array => fromHex(hex.replaceAll(' ', ''))!;

/** Any instruction there is. */
const anyInsn: fc.Arbitrary<Insn> = fc
  .record({
    form: fc.constantFrom(...FORMS),
    dst: fc.integer({ min: 0, max: 10 }),
    src: fc.integer({ min: 0, max: 10 }),
    offset: fc.integer({ min: -0x8000, max: 0x7fff }),
    imm: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    high: fc.bigInt(0n, 0xffff_ffffn),
  })
  .map(({ form, high, ...fields }) => {
    const insn = { opcode: form.opcode, ...fields, slot: 0, ...form.fixed };
    if (form.operation.kind !== 'lddw') return insn;
    const upper = form.operands.includes('imm64') ? high << 32n : 0n;
    return { ...insn, imm64: upper | BigInt(insn.imm >>> 0) };
  });

describe('decode', () => {
  it('reads each field', () => {
    assert.deepEqual(decode(bytesOf('7b 21 f8ff 00000000')), [
      { opcode: 0x7b, dst: 1, src: 2, offset: -8, imm: 0, slot: 0 },
    ]);
  });

  it('joins the two slots of a lddw, and counts both', () => {
    const [lddw, exit] = decode(bytesOf('18 01 0000 88776655  00 00 0000 44332211  95 00 0000 00000000'));
    assert.equal(lddw!.imm64, 0x1122_3344_5566_7788n);
    assert.equal(lddw!.imm, 0x5566_7788);
    assert.equal(exit!.slot, 2);
  });

  it('finds the register of a callx where older compilers put it', () => {
    assert.deepEqual(decode(bytesOf('8d 00 0000 03000000')), decode(bytesOf('8d 03 0000 00000000')));
  });

  for (const [why, hex, code, text] of [
    ['no bytes', '', 'INSN_BAD_LENGTH', '0 bytes'],
    ['half a slot', '95000000', 'INSN_BAD_LENGTH', '4 bytes'],
    ['an opcode nobody defined', 'ff 00 0000 00000000', 'INSN_UNKNOWN_OPCODE', 'unknown opcode ff'],
    ['opcode zero', '00 00 0000 00000000', 'INSN_UNKNOWN_OPCODE', 'unknown opcode 00'],
    ['neg of a register', '8f 12 0000 00000000', 'INSN_UNKNOWN_OPCODE', 'unknown opcode 8f'],
    ['a 64-bit sign-extending load', '99 10 0000 00000000', 'INSN_UNKNOWN_OPCODE', 'unknown opcode 99'],
    ['LD_ABS', '30 00 0000 00000000', 'INSN_LEGACY', 'LD_ABS'],
    ['LD_IND', '40 10 0000 00000000', 'INSN_LEGACY', 'LD_IND'],
    ['an imm beside a register', '0f 21 0000 01000000', 'INSN_RESERVED_FIELD', 'imm is 1, wanted 0'],
    ['a third variant of div', '3f 21 0200 00000000', 'INSN_RESERVED_FIELD', 'offset is 2, wanted 0 or 1'],
    ['a movsx of 32 to 32 bits', 'bc 21 2000 00000000', 'INSN_RESERVED_FIELD', 'offset is 32, wanted 0 or 8 or 16'],
    ['a swap of 8 bits', 'd7 01 0000 08000000', 'INSN_RESERVED_FIELD', 'imm is 8, wanted 16 or 32 or 64'],
    ['an atomic nand', 'db 21 0000 5a000000', 'INSN_RESERVED_FIELD', 'imm is 90'],
    ['a fourth kind of call', '85 30 0000 01000000', 'INSN_RESERVED_FIELD', 'src is 3, wanted 0 or 1 or 2'],
    ['a lddw of an eighth kind', '18 71 0000 01000000 0000000000000000', 'INSN_RESERVED_FIELD', 'src is 7'],
    [
      'a lddw whose second slot has an opcode',
      '18 01 0000 00000000 9500000000000000',
      'INSN_RESERVED_FIELD',
      'bpf_ld_imm64',
    ],
    [
      'a map whose second half is not zero',
      '18 11 0000 03000000 0000000001000000',
      'INSN_RESERVED_FIELD',
      'imm of its second',
    ],
    ['a lddw at the end', '18 01 0000 00000000', 'INSN_TRUNCATED_LDDW', 'bpf_ld_imm64'],
    ['r11', 'bf 0b 0000 00000000', 'INSN_BAD_REGISTER', 'R11 is invalid'],
    ['r15 as source', 'bf f0 0000 00000000', 'INSN_BAD_REGISTER', 'R15 is invalid'],
  ] as const) {
    it(`refuses ${why} with ${code}`, () => {
      assert.throws(
        () => decode(bytesOf(hex)),
        (error) => error instanceof InsnError && error.code === code && error.message.includes(text),
      );
    });
  }

  it('gives back what was encoded, for any instructions', () => {
    fc.assert(
      fc.property(fc.array(anyInsn, { minLength: 1, maxLength: 20 }), (insns) => {
        assert.deepEqual(decode(encode(insns)), layOut(insns));
      }),
    );
  });

  it('makes of any bytes an InsnError, or instructions that encode to the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.nat({ max: FORMS.length - 1 }), (slot, index) => {
        const bytes = slot.map((byte, at) => (at === 0 ? FORMS[index]!.opcode : byte));
        try {
          const insns = decode(bytes);
          if (bytes[0] !== 0x8d) assert.equal(toHex(encode(insns)), toHex(bytes));
        } catch (error) {
          assert.ok(error instanceof InsnError);
        }
      }),
    );
  });
});

describe('encode', () => {
  for (const [what, field] of [
    ['offset', { offset: 0x8000 }],
    ['imm', { imm: 0x8000_0000 }],
  ] as const) {
    it(`refuses an ${what} that does not fit`, () => {
      const insn = { opcode: 0x07, dst: 0, src: 0, offset: 0, imm: 0, slot: 0, ...field };
      assert.throws(() => encode([insn]), RangeError);
    });
  }
});
