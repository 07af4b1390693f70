import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HELPERS } from '../helpers/table.ts';
import { assemble } from '../insn/assemble.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { Reference } from '../object/spec.ts';
import { bareProgram } from './bare-program.ts';
import { PROGRAM_KINDS } from './program-kind.ts';
import { verify } from './verify.ts';

const map = (name: string, type: number, innerMap?: MapSpec): MapSpec => ({
  ...{ name, type, keySize: 4, valueSize: innerMap ? 4 : 8, maxEntries: 4, flags: 0, keyTypeId: 0, valueTypeId: 0 },
  ...(innerMap && { innerMap }),
});
/** By the number that lddw loads for them. */
const MAPS: Readonly<Record<number, MapSpec>> = {
  1: map('outer', 12, map('outer.inner', 2)),
  2: map('other', 13, map('other.inner', 2)),
  3: map('plain', 2),
};

function verdictOf(text: string) {
  const insns = assemble(text);
  const references = new Map<number, Reference>();
  for (const [index, { imm64 }] of insns.entries()) {
    const named = imm64 === undefined ? undefined : MAPS[Number(imm64)];
    if (named !== undefined) references.set(index, { kind: 'map', map: named.name });
  }
  return verify(bareProgram('test', insns, references), {
    ...{ kind: PROGRAM_KINDS.uprobe, helpers: HELPERS, btf: undefined, allow: new Set() },
    maps: new Map(Object.values(MAPS).map((one) => [one.name, one])),
  });
}

const KEY = 'stw [r10-4], 0\nmov r2, r10\nadd r2, -4\n';
const lookup = (number: number): string => `${KEY}lddw r1, ${number}\ncall 1\n`;
const INSIDE = `mov r1, r0\n${KEY}call 1\n`;
const END = 'mov r0, 0\nexit';
const IF_NULL = 'jeq r0, 0, out\n';

describe('maps out of maps', () => {
  it('are looked into, and the compiler is told where', () => {
    const verdict = verdictOf(`${lookup(1)}${IF_NULL}${INSIDE}${IF_NULL}ldxdw r1, [r0]\nout: ${END}`);
    assert.ok(verdict.verdict === 'accept');
    assert.deepEqual(
      [...verdict.program.innerMaps.values()].map(({ name }) => name),
      ['outer.inner'],
    );
  });

  for (const [what, text, message] of [
    [
      'without a look whether there is one',
      `${lookup(1)}${INSIDE}${END}`,
      'R1 type=map_value_or_null expected=map_ptr',
    ],
    [
      'without a look whether there is a value, though its index is known',
      `${lookup(1)}${IF_NULL}${INSIDE}ldxdw r1, [r0]\nout: ${END}`,
      "R0 invalid mem access 'map_value_or_null'",
    ],
    [
      'of two maps at one place',
      `ldxdw r6, [r1]\njeq r6, 0, second\n${lookup(1)}ja both\nsecond: ${lookup(2)}both: ${IF_NULL}${INSIDE}out: ${END}`,
      'the same insn cannot be given maps of different maps of maps',
    ],
    [
      'or a map of the object, at one place',
      `ldxdw r6, [r1]\njeq r6, 0, second\n${lookup(1)}${IF_NULL}mov r1, r0\nja both\nsecond: lddw r1, 3\nboth: ${KEY}call 1\nout: ${END}`,
      'the same insn cannot be given maps of different maps of maps',
    ],
  ] as const) {
    it(`are not used ${what}`, () => {
      const verdict = verdictOf(text);
      assert.ok(verdict.verdict === 'reject');
      assert.ok(verdict.error.message.includes(message), verdict.error.message);
    });
  }
});
