import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BpfError, type BpfErrorOptions } from '../errors.ts';
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
