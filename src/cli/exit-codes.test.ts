import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../../tests/support/root.ts';
import { BpfError } from '../errors.ts';
import { CliError } from './errors.ts';
import { EXIT_CODES, exitCodeOf } from './exit-codes.ts';

class Failure extends BpfError {
  override readonly name = 'Failure';
  override readonly code: string;

  constructor(code: string, cause?: unknown) {
    super('', { cause });
    this.code = code;
  }
}

describe('exitCodeOf', () => {
  const circular = new Failure('X');
  circular.cause = circular;
  for (const [why, error, code] of [
    ['usage', new CliError('CLI_BAD_USAGE', ''), 2],
    ['a rejected program', new Failure('VERIFIER_LOOP'), 6],
    ['a rejected program, in the words of somebody above', new Failure('X', new Failure('VERIFIER_LOOP')), 6],
    ['the outermost that is known', new Failure('PROCESS_PERMISSION', new Failure('SYS_ESRCH')), 3],
    ['an exception to the rule of a folder', new Failure('OBJECT_EXTERN'), 5],
    ['the rule of a folder', new Failure('OBJECT_BAD_MAP'), 2],
    ['what went wrong first', Object.assign(new Error(), { suppressed: new Failure('PROCESS_EXITED') }), 4],
    ['what has no row', new Failure('X'), 1],
    ['a bug', new TypeError(), 1],
    ['what is no error at all', 'text', 1],
    ['an error that causes itself', circular, 1],
  ] as const) {
    it(`is ${code} for ${why}`, () => assert.equal(exitCodeOf(error), code));
  }

  const codes = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('errors.ts'))
    .flatMap((file) => readFileSync(join(ROOT, 'src', file), 'utf8').match(/\b[A-Z]+_[A-Z_0-9]+(?=:)/g) ?? []);

  for (const row of Object.keys(EXIT_CODES)) {
    it(`knows ${row} by a name that exists`, () => {
      assert.ok(codes.some((code) => (row.endsWith('_') ? code.startsWith(row) : code === row)));
    });
  }
});
