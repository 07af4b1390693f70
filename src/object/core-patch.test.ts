import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { COMPILERS, objectFile } from '../../tests/support/objects.ts';
import { readBtf } from '../btf/btf.ts';
import { readElf } from '../elf/elf-file.ts';
import { BpfError } from '../errors.ts';
import { operationOf } from '../insn/form.ts';
import { Interpreter } from '../vm/interpreter.ts';
import { NO_SUCH_FIELD } from './core-patch.ts';
import { type KernelFacts, NO_KERNEL } from './kernel-facts.ts';
import { readObject, surveyObject } from './read-object.ts';

/** The types of core-kernel.bpf.c as the kernel's. */
const types = btfOf(objectFile('core-kernel'));
const KERNEL: KernelFacts = { ...NO_KERNEL, types: () => types };

function btfOf(file: Uint8Array): Uint8Array {
  const elf = readElf(file);
  return new Uint8Array(elf.data(elf.section('.BTF')!));
}

for (const compiler of COMPILERS) {
  const object = readObject(objectFile('core-kinds', compiler), KERNEL);
  const run = (name: string): bigint | undefined => {
    const program = object.programs.find((candidate) => candidate.name === name);
    return program && BigInt.asIntN(64, new Interpreter(program).run(new Uint8Array(256)));
  };

  describe(`CO-RE relocations of ${compiler}`, () => {
    for (const [name, answer] of [
      ['offset', 40n],
      ['offset_in_anonymous', 152n],
      ['offset_of_element', 80n + 2n * 16n + 12n],
      ['offset_of_tail', 156n + 5n],
      ['size', 8n],
      ['size_of_all', 64n],
      ['exists', 1n],
      ['exists_not', 0n],
      ['exists_in_flavour', 1n],
      ['exists_not_at_all', 0n],
      ['is_signed', 1n],
      ['is_unsigned', 0n],
      ['left', 50n],
      ['right', 59n],
      ['bits_offset', 144n],
      ['bits_size', 8n],
      ['type_exists', 1n],
      ['type_exists_not', 0n],
      ['alias_exists', 1n],
      ['type_size', 160n],
      ['type_size_not', 0n],
      ['value_exists', 1n],
      ['value_exists_not', 0n],
      ['value', 6n],
      ['value_64', 0x1_2345_6789n],
      ['guarded', -1n],
    ] as const) {
      it(`answers ${name} with ${answer}`, () => assert.equal(run(name), answer));
    }

    it('gives ids of types, of the object and of the kernel', () => {
      const own = run('id_local')!;
      assert.deepEqual(named(object.btf!.type(Number(own))), ['struct', 'thing']);
      assert.deepEqual(named(readBtf(types).type(Number(run('id_target')!))), ['struct', 'thing']);
    });

    it('loads as many bytes as the field has', () => {
      const { insns } = object.programs.find(({ name }) => name === 'load')!;
      const loads = insns.flatMap((insn) => {
        const operation = operationOf(insn);
        return operation.kind === 'load' ? [{ at: insn.offset, size: operation.size }] : [];
      });
      assert.deepEqual(
        loads.sort((a, b) => a.at - b.at),
        [
          { at: 40, size: 4 },
          { at: 48, size: 8 },
        ],
      );
    });

    it('calls no helper where nothing is to be accessed', () => {
      const { insns, missing } = object.programs.find(({ name }) => name === 'guarded')!;
      const calls = [...insns.entries()].filter(([, { imm }]) => imm === NO_SUCH_FIELD);
      assert.ok(calls.length > 0);
      assert.deepEqual(
        [...missing!.keys()],
        calls.map(([index]) => index).filter((index) => missing!.has(index)),
      );
      assert.ok([...missing!.values()].includes('struct thing___other.only_here'));
    });
  });
}

describe('CO-RE relocations', () => {
  it('compare contents where that is asked', () => {
    const object = readObject(objectFile('core-kinds'), KERNEL);
    for (const [name, answer] of [
      ['type_matches', 1n],
      ['type_matches_not', 0n],
    ] as const) {
      const program = object.programs.find((candidate) => candidate.name === name)!;
      assert.equal(new Interpreter(program).run(new Uint8Array(256)), answer);
    }
  });

  it('are resolved by types of our own where the kernel tells none', () => {
    const { unlinked } = surveyObject(objectFile('core-kinds'));
    assert.deepEqual(unlinked, []);
  });

  it('give a program or an error for any types of the kernel', () => {
    fc.assert(
      fc.property(fc.nat(types.length - 1), fc.nat(255), (at, byte) => {
        const spoiled = new Uint8Array(types);
        spoiled[at] = byte;
        try {
          readObject(objectFile('core-kinds'), { ...NO_KERNEL, types: () => spoiled });
        } catch (error) {
          if (!(error instanceof BpfError)) throw error;
        }
      }),
      { numRuns: 40 },
    );
  });

  it('give a program or an error for any record of the object', () => {
    const file = objectFile('core-kinds');
    const { offset, size } = readElf(file).section('.BTF.ext')!;
    fc.assert(
      fc.property(fc.nat(size - 1), fc.nat(255), (at, byte) => {
        const spoiled = new Uint8Array(file);
        spoiled[offset + at] = byte;
        try {
          surveyObject(spoiled, KERNEL);
        } catch (error) {
          if (!(error instanceof BpfError)) throw error;
        }
      }),
      { numRuns: 40 },
    );
  });
});

function named(type: { readonly kind: string; readonly name?: string }): readonly (string | undefined)[] {
  return [type.kind, type.name];
}
