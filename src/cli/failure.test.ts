import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BpfError, type BpfErrorOptions } from '../errors.ts';
import { CliError } from './errors.ts';
import { exitCodeOf } from './exit-codes.ts';
import { describeFailure } from './failure.ts';
import { paletteFor } from './text.ts';

class Failure extends BpfError {
  override readonly name = 'Failure';
  override readonly code: string;

  constructor(code: string, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const plain = paletteFor({}, { color: false });
const inner = new Failure('VERIFIER_LOOP', 'cannot accept program p: back-edge', {
  why: 'p.c:3: goto a',
  fix: 'unroll',
});

describe('describeFailure', () => {
  for (const [why, error, lines] of [
    ['says only what, if there is no more', new Failure('X', 'cannot do it'), ['error: cannot do it']],
    [
      'says what, why and how to fix it',
      inner,
      ['error: cannot accept program p: back-edge', 'why:   p.c:3: goto a', 'fix:   unroll'],
    ],
    [
      'gives the causes as reasons, and the fix of whoever knows one',
      new Failure('X', 'cannot load p.bpf.o', { cause: inner }),
      [
        'error: cannot load p.bpf.o',
        'why:   cannot accept program p: back-edge',
        'why:   p.c:3: goto a',
        'fix:   unroll',
      ],
    ],
    ['indents further lines', new Failure('X', 'two\nlines'), ['error: two', '       lines']],
    ['disarms what a target put into it', new Failure('X', 'no \x1b[2J'), ['error: no \\x1b[2J']],
  ] as const) {
    it(why, () => assert.equal(describeFailure(error, plain), lines.join('\n')));
  }

  it('shows where a bug of ours is', () => {
    assert.match(describeFailure(new TypeError('x is undefined'), plain), /^error: TypeError: x is undefined\n +at /);
  });
});

describe('exitCodeOf', () => {
  const circular = new Failure('X', 'circular');
  circular.cause = circular;
  for (const [why, error, code] of [
    ['usage', new CliError('CLI_BAD_USAGE', ''), 2],
    ['a rejected program', inner, 6],
    ['a rejected program in other words', new Failure('X', '', { cause: inner }), 6],
    ['what has no code of its own', new Failure('X', ''), 1],
    ['a bug', new TypeError(), 1],
    ['what is no error at all', 'text', 1],
    ['an error that causes itself', circular, 1],
  ] as const) {
    it(`is ${code} for ${why}`, () => assert.equal(exitCodeOf(error), code));
  }
});
