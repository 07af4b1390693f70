/** Every case under cases/: our verdict and what we say, and the kernel's verdict where it gives one. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { operationOf } from '../../src/insn/form.ts';
import type { Scalar } from '../../src/verifier/scalar.ts';
import type { RegisterValue } from '../../src/verifier/value.ts';
import { KernelOracle, whyNoOracle } from '../support/kernel-oracle.ts';
import { ROOT } from '../support/root.ts';
import { parseCases, type VerifierCase } from '../support/verifier-cases.ts';
import { ourVerdict } from '../support/verifier-subject.ts';

const FOLDER = join(ROOT, 'tests/verifier/cases');
const noOracle = whyNoOracle();
const oracle = noOracle === undefined ? new KernelOracle() : undefined;
after(() => oracle?.[Symbol.dispose]());

for (const file of readdirSync(FOLDER).sort()) {
  describe(file, () => {
    if (noOracle !== undefined) {
      it('is checked against us alone', (t) => t.diagnostic(`the kernel takes no programs: ${noOracle}`));
    }
    const names = new Set<string>();
    for (const one of parseCases(readFileSync(join(FOLDER, file), 'utf8'))) {
      it(one.name, () => {
        assert.ok(!names.has(one.name), 'no other case has this name');
        names.add(one.name);
        check(one);
        if (oracle !== undefined) checkKernel(one, oracle);
      });
    }
  });
}

function check({ subject, message, post }: VerifierCase): void {
  const exits: (readonly (RegisterValue | undefined)[])[] = [];
  const verdict = ourVerdict(subject, ({ frames, insn }) => {
    if (frames.length === 1 && operationOf(subject.program.insns[insn]!).kind === 'exit') {
      exits.push([...frames[0]!.registers]);
    }
  });
  if (message !== undefined) {
    assert.ok(!verdict.accepted, 'it is refused');
    assert.ok(verdict.message.includes(message), `'${verdict.message}' says '${message}'`);
    return;
  }
  assert.ok(verdict.accepted, verdict.message);
  for (const [register, what] of post!) {
    const held = exits.map((registers) => registers[Number(register.slice(1))]);
    assert.ok(
      held.some((value) => fits(value, what)),
      `${register} is ${what} at some exit`,
    );
  }
}

/** A case is about programs, so what it says of them must be true. */
function checkKernel({ subject, message, kernelDiffers }: VerifierCase, kernel: KernelOracle): void {
  const { accepted, message: says } = kernel.verdict(subject);
  const agrees = accepted === (message === undefined);
  assert.equal(agrees, kernelDiffers === undefined, `the kernel ${accepted ? 'accepts' : `refuses: ${says}`}`);
}

/** True if a register holds what the case says, or something narrower. */
function fits(value: RegisterValue | undefined, what: string): boolean {
  if (value === undefined) return false;
  if (what === 'fp0') return value.kind === 'pointer' && value.region.kind === 'stack' && value.offset === 0;
  if (value.kind !== 'scalar') return false;
  const facts = /^scalar\((.*)\)$/.exec(what)?.[1];
  if (facts === undefined)
    return value.scalar.smin === BigInt.asIntN(64, BigInt(what)) && value.scalar.bits.mask === 0n;
  return facts
    .split(/,(?![^(]*\))/)
    .filter((fact) => fact !== '')
    .every((fact) => holds(value.scalar, fact));
}

function holds(scalar: Scalar, fact: string): boolean {
  const [name, number] = fact.split('=') as [string, string];
  if (name === 'var_off') {
    const [value, mask] = number
      .slice(1, -1)
      .split(';')
      .map((part) => BigInt(part.trim())) as [bigint, bigint];
    return (scalar.bits.mask & ~mask) === 0n && (scalar.bits.value & ~mask) === value;
  }
  const known = scalar[name as Exclude<keyof Scalar, 'bits'>];
  assert.notEqual(known, undefined, `there is such a fact: ${name}`);
  return name.includes('min') ? known >= BigInt(number) : known <= BigInt(number);
}
