import assert from 'node:assert/strict';
import { it } from 'node:test';
import { decodeStatus } from './wait.ts';

for (const [what, status, expected] of [
  ['an exit', 0x0300, { kind: 'ended' }],
  ['a death by signal', 0x0009, { kind: 'ended' }],
  ['a death by signal with a core', 0x008b, { kind: 'ended' }],
  ['a signal about to be delivered', 0x0e7f, { kind: 'signal', signal: 14 }],
  ['SIGTRAP about to be delivered', 0x057f, { kind: 'signal', signal: 5 }],
  ['a system call', 0x857f, { kind: 'system-call' }],
  ['an interrupt', 0x80057f, { kind: 'trap' }],
  ['a stop by SIGSTOP', 0x80137f, { kind: 'group-stop' }],
  ['a stop by SIGTSTP', 0x80147f, { kind: 'group-stop' }],
  ['a new thread', 0x03057f, { kind: 'clone' }],
  ['a new program', 0x04057f, { kind: 'exec' }],
] as const) {
  it(`a wait status tells of ${what}`, () => assert.deepEqual(decodeStatus(status), expected));
}
