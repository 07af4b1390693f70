import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDuration, parsePid } from './options.ts';

describe('parseDuration', () => {
  for (const [text, ms] of [
    ['500ms', 500],
    ['5s', 5000],
    ['5', 5000],
    ['1.5s', 1500],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ] as const) {
    it(`reads ${text}`, () => assert.equal(parseDuration(text), ms));
  }
  for (const text of ['', '5d', '-5s', '0s', 's', '1e3s', '5 s', '1000h']) {
    it(`refuses '${text}'`, () => assert.throws(() => parseDuration(text), /Wanted a time/));
  }
});

describe('parsePid', () => {
  it('reads a number, whether there is such a process or not', () => assert.equal(parsePid('99999999'), 99_999_999));
  for (const text of ['', '0', '-1', '1.5', '0x10', 'bash', '2147483648']) {
    it(`refuses '${text}'`, () => assert.throws(() => parsePid(text), /Wanted a process id/));
  }
});
